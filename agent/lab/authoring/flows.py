"""What is odd about a domain's flows: steps and flows nobody comes to, no way out, going round, dead branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.dialogue.checking import texts_of
from agent.dialogue.domain import Domain
from agent.dialogue.steps import (
    AskStep,
    AssistStep,
    BranchStep,
    CallStep,
    ConfirmStep,
    Flow,
    SetStep,
)
from agent.dialogue.text import holes
from agent.lab.authoring.graph import reached, rounds, stuck, used_flows
from agent.lab.authoring.results import Results
from agent.yamlfile import YamlFile

NO_VALUE = "none"
"""The case of a branch for a value that is missing."""


def odd_flows(domain: Domain, file: YamlFile, results: Results) -> Iterator[str]:
    """Warnings about flows, as `file:line: ...`; `file` is flows.yaml."""
    used = used_flows(domain)
    for name, flow in domain.flows.items():
        if name not in used:
            yield file.problem(("flows", name), f"nothing opens flow '{name}'; give it an intent, or remove it")
        yield from _unreached(name, flow, file)
        yield from _endless(name, flow, file)
        for n, step in enumerate(flow.steps):
            at = ("flows", name, "steps", n)
            if isinstance(step, ConfirmStep) and step.if_yes is not None and step.if_yes == step.if_no:
                yield file.problem(at, f"yes and no both lead to '{step.if_no}'; ask nothing, or part them")
            if isinstance(step, BranchStep):
                yield from _dead_cases(domain, name, step, file, (*at, "cases"), results)
            yield from _unknown_fields(domain, name, n, file, results)
            yield from _never_known(domain, name, n, file)
    for way in rounds(domain):
        (name, n), *_ = way
        steps = ", ".join(f"{flow}.{number + 1}" for flow, number in way[:6])
        yield file.problem(
            ("flows", name, "steps", n),
            f"steps {steps} can go round without waiting for the caller; forget the slot that is asked for, or leave",
        )


def _unreached(name: str, flow: Flow, file: YamlFile) -> Iterator[str]:
    missing = [n for n in range(len(flow.steps)) if n not in reached(flow)]
    for n in missing:
        if n - 1 not in missing:
            text = f"no step leads here in flow '{name}'; jump to it, or remove it"
            yield file.problem(("flows", name, "steps", n), text)


def _endless(name: str, flow: Flow, file: YamlFile) -> Iterator[str]:
    dead = stuck(flow)
    if dead:
        text = f"flow '{name}' has no way out from here; end it, hand off, or go to another flow"
        yield file.problem(("flows", name, "steps", dead[0]), text)


def _dead_cases(
    domain: Domain, name: str, step: BranchStep, file: YamlFile, at: tuple[str | int, ...], results: Results
) -> Iterator[str]:
    possible = _possible(domain, name, step.branch, results)
    if possible is None:
        return
    for case in step.cases:
        if case not in possible | {NO_VALUE}:
            known = ", ".join(sorted(possible))
            text = f"'{step.branch}' is never '{case}', so this never holds; it is one of {known}"
            yield file.problem((*at, _as_written(file, at, case)), text)


def _as_written(file: YamlFile, at: tuple[str | int, ...], case: str) -> str | int:
    """The key of a case as the file has it (`true` is a truth value there)."""
    return next((where[-1] for where in file.lines if where[:-1] == at and str(where[-1]).lower() == case), case)


def _possible(domain: Domain, name: str, path: str, results: Results) -> set[str] | None:
    """The values that `path` can have in flow `name`, as lower-case text; None where nobody knows."""
    root, _, rest = path.partition(".")
    given = {
        str(step.set[root]).lower()
        for flow in domain.flows.values()
        for step in flow.steps
        if isinstance(step, SetStep) and root in step.set
    }
    if any("{" in value for value in given):
        return None
    spec = domain.slots.get(root)
    if spec is not None and not rest:
        if spec.type == "choice":
            return {str(value).lower() for value in spec.options.get("values", ())} | given
        return {"true", "false"} | given if spec.type == "yes_no" else None
    if spec is None and not rest and given and not _asked(domain, root):
        return given
    actions = _actions_into(domain, name, root)
    values = [results.values(action, rest) for action in actions]
    if not rest or not values or any(found is None for found in values):
        return None
    return {value for found in values if found is not None for value in found}


def _asked(domain: Domain, slot: str) -> bool:
    return any(flow.asks(slot) is not None for flow in domain.flows.values())


def _actions_into(domain: Domain, name: str, into: str) -> set[str]:
    """Actions whose result is kept as `into`: in flow `name`, or else anywhere."""
    for flows in ({name: domain.flows[name]}, domain.flows):
        found = set()
        for flow in flows.values():
            for step in flow.steps:
                if isinstance(step, CallStep) and step.into == into:
                    found.add(step.call)
                elif isinstance(step, AssistStep) and step.into == into:
                    found |= set(step.actions)
                elif isinstance(step, AskStep) and step.check is not None and step.check.into == into:
                    found.add(step.check.action)
        if found:
            return found
    return set()


def _unknown_fields(domain: Domain, name: str, n: int, file: YamlFile, results: Results) -> Iterator[str]:
    """Fields of results that the action's model does not have."""
    step = domain.flows[name].steps[n]
    paths = {path for _, text in texts_of(step) for path, _ in holes(text)}
    paths |= {step.branch} if isinstance(step, BranchStep) else set()
    paths |= {step.options} if isinstance(step, AskStep) and step.options else set()
    for path in sorted(paths):
        root, _, rest = path.partition(".")
        for action in sorted(_actions_into(domain, name, root)) if rest else ():
            has = results.lacking(action, rest)
            if has is not None:
                known = ", ".join(sorted(has))
                text = f"'{path}': the result of {action} has no such field; it has {known}"
                yield file.problem(("flows", name, "steps", n), text)
    if isinstance(step, AskStep) and step.check is not None:
        has = results.lacking(step.check.action, step.check.ok)
        if has is not None:
            text = f"'ok: {step.check.ok}': the result of {step.check.action} has only {', '.join(sorted(has))}"
            yield file.problem(("flows", name, "steps", n, "check"), text)


def _never_known(domain: Domain, name: str, n: int, file: YamlFile) -> Iterator[str]:
    """Slots that a step says although this flow never asks for them: they have a value by chance only."""
    flow, step = domain.flows[name], domain.flows[name].steps[n]
    spoken = {path for key, text in texts_of(step) if key != "arguments" for path, _ in holes(text)}
    for slot in sorted(spoken & {*domain.slots, *flow.slots}):
        if not _filled(domain, flow, slot, set()):
            text = f"'{{{slot}}}' has a value only if the caller happens to say it; ask for it before, or branch on it"
            yield file.problem(("flows", name, "steps", n), text)


def _filled(domain: Domain, flow: Flow, slot: str, seen: set[int]) -> bool:
    """Whether `flow`, one that it runs, or one that leads to it asks for `slot`, sets it or branches on it."""
    if id(flow) in seen:
        return False
    seen.add(id(flow))
    if slot in domain.manner.remember:
        return True
    for step in flow.steps:
        if (isinstance(step, AskStep) and step.ask == slot) or (isinstance(step, SetStep) and slot in step.set):
            return True
        if isinstance(step, BranchStep) and step.branch == slot:
            return True
        run = domain.flows.get(getattr(step, "do", ""))
        if run is not None and _filled(domain, run, slot, seen):
            return True
    return any(_filled(domain, other, slot, seen) for other in _leading_to(domain, flow))


def _leading_to(domain: Domain, flow: Flow) -> Iterator[Flow]:
    mine = next(name for name, each in domain.flows.items() if each is flow)
    for other in domain.flows.values():
        for step in other.steps:
            targets = [getattr(step, key, None) for key in ("jump", "if_yes", "if_no", "on_error", "otherwise", "do")]
            targets += list(step.cases.values()) if isinstance(step, BranchStep) else []
            if mine == getattr(step, "do", None) or f"flow:{mine}" in targets:
                yield other
                break


def unused(domain: Domain, files: Mapping[str, YamlFile]) -> Iterator[str]:
    """Actions that nothing runs, and slots that are neither asked for nor used."""
    manner = domain.manner
    run = {action for _, action, _ in domain.action_uses()} | {manner.offers_opt_out}
    run |= {manner.profile.action} if manner.profile is not None else set()
    for name in manner.actions:
        if name not in run:
            yield files["domain"].problem(("actions", name), f"nothing runs action '{name}'; call it, or remove it")
    used = {*manner.remember, *manner.default_flows, *manner.listening.other, *manner.listening.another}
    used |= {slot for intent in domain.intents.values() for slot in intent.slots}
    used |= {span.name for intent in domain.intents.values() for spans in intent.marks.values() for span in spans}
    for flow in domain.flows.values():
        for step in flow.steps:
            used |= {path.split(".")[0] for _, text in texts_of(step) for path, _ in holes(text)}
            used |= {step.ask} if isinstance(step, AskStep) else set()
            used |= {step.branch.split(".")[0]} if isinstance(step, BranchStep) else set()
    own = files["intents"]
    for name, spec in domain.slots.items():
        if name not in used and spec.type != "yes_no" and ("slots", name) in own.lines:
            text = f"slot '{name}' is never asked for and nothing uses it; ask for it in a flow, or remove it"
            yield own.problem(("slots", name), text)
