"""What a domain folder must keep to: every problem with its file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.dialogue.domain import Domain
from agent.dialogue.formats import FORMATS
from agent.dialogue.manner import PHRASES
from agent.dialogue.steps import (
    AskStep,
    AssistStep,
    BranchStep,
    CallStep,
    ConfirmStep,
    DoStep,
    ForgetStep,
    SayStep,
    SetStep,
    VerifiedStep,
)
from agent.dialogue.text import holes
from agent.yamlfile import Where, YamlFile
from models.training.heads import LEAST_EXAMPLES

OWN_INTENTS = frozenset(
    {"greeting", "thanks", "goodbye", "affirm", "deny", "repeat", "wait", "small_talk", "give_information"}
)
"""Intents that the dialogue itself answers; every other intent needs a flow or an escalation rule."""
ALWAYS_KNOWN = frozenset({"business", "words", "given", "today"})
"""Names that any template may use."""
PHRASE_NAMES: Mapping[str, frozenset[str]] = {
    "resume": frozenset({"title"}),
    "clarify_one": frozenset({"first"}),
    "clarify_two": frozenset({"first", "second"}),
    "never_mind": frozenset({"title"}),
    "and_now": frozenset({"title"}),
    "continue_call": frozenset({"title"}),
    "read_back": frozenset({"value"}),
    "did_you_mean": frozenset({"value"}),
    "known_caller": frozenset({"name"}),
    "open_items": frozenset({"items"}),
    "last_topic": frozenset({"topic"}),
}


def check_manner(domain: Domain, file: YamlFile) -> Iterator[str]:
    manner = domain.manner
    for name in PHRASES:
        if name not in manner.phrases:
            more = "" if manner.extends else ", or take all of them with 'extends: common'"
            yield file.problem(("phrases",), f"phrase '{name}' is missing; add it under 'phrases'{more}")
    for name, phrase in manner.phrases.items():
        if name not in PHRASES:
            yield file.problem(("phrases", name), f"unknown phrase '{name}'; remove it or correct its spelling")
        for text in phrase.text:
            yield from _check_text(file, ("phrases", name), text, ALWAYS_KNOWN | PHRASE_NAMES.get(name, frozenset()))
    for text in (*manner.greeting.text, *manner.disclosures, manner.offer):
        yield from _check_text(file, ("greeting",), text, ALWAYS_KNOWN)
    for name in (*manner.remember, *manner.default_flows, *manner.listening.other, *manner.listening.another):
        if name not in domain.slots:
            yield file.problem(("remember",), f"slot '{name}' is not in intents.yaml; add it there or drop it here")
    for slot, flow in manner.default_flows.items():
        if flow not in domain.flows:
            yield file.problem(("default_flows", slot), f"flow '{flow}' does not exist; name one of flows.yaml")
    for n, rule in enumerate(manner.escalation):
        if rule.intent is not None and rule.intent not in domain.intents:
            where = ("escalation", n, "intent")
            yield file.problem(where, f"intent '{rule.intent}' is not in intents.yaml; add it there")
    yield from _check_identity(domain, file)
    if manner.profile is not None and manner.profile.action not in manner.actions:
        yield file.problem(
            ("profile", "action"), f"action '{manner.profile.action}' is not under 'actions'; add it there"
        )
    if manner.offers_opt_out is not None and manner.offers_opt_out not in manner.actions:
        yield file.problem(
            ("offers_opt_out",), f"action '{manner.offers_opt_out}' is not under 'actions'; add it there"
        )
    for n, offer in enumerate(manner.offers):
        for flow in (*offer.after, *([offer.yes.removeprefix("flow:")] if offer.yes else [])):
            if flow not in domain.flows:
                yield file.problem(("offers", n), f"flow '{flow}' does not exist; name one of flows.yaml")


def _check_identity(domain: Domain, file: YamlFile) -> Iterator[str]:
    identity = domain.manner.identity
    if identity is None:
        for name, spec in domain.manner.actions.items():
            if spec.identity == "verified":
                yield file.problem(
                    ("actions", name), "needs a verified caller, but there is no 'identity'; add identity.flow"
                )
        return
    flow = domain.flows.get(identity.flow)
    if flow is None:
        yield file.problem(("identity", "flow"), f"flow '{identity.flow}' does not exist; name one of flows.yaml")
    elif not any(isinstance(step, VerifiedStep) for step in flow.steps):
        yield file.problem(
            ("identity", "flow"), f"flow '{identity.flow}' never says who the caller is; give it a step 'verified'"
        )
    elif flow.verified:
        yield file.problem(
            ("identity", "flow"), f"flow '{identity.flow}' itself wants a verified caller; remove 'verified: true'"
        )


def check_intents(domain: Domain, file: YamlFile) -> Iterator[str]:
    escalated = {rule.intent for rule in domain.manner.escalation}
    for name, intent in domain.intents.items():
        if name not in OWN_INTENTS and domain.flow_of(name) is None and name not in escalated:
            yield file.problem(
                ("intents", name), f"intent '{name}' leads nowhere; give it a flow in flows.yaml or an escalation rule"
            )
        if len(intent.examples) < LEAST_EXAMPLES:
            few = f"intent '{name}' has {len(intent.examples)} examples; give at least {LEAST_EXAMPLES}"
            yield file.problem(("intents", name), few)
        for slot in intent.slots:
            if slot not in domain.slots:
                yield file.problem(("intents", name, "slots"), f"slot '{slot}' is not under 'slots'; add it there")


def check_flow(domain: Domain, name: str, file: YamlFile) -> Iterator[str]:
    flow = domain.flows[name]
    at: Where = ("flows", name)
    if flow.verified and domain.manner.identity is None:
        yield file.problem(
            (*at, "verified"), "wants a verified caller, but domain.yaml has no 'identity'; add it there"
        )
    for intent in flow.intents:
        if intent not in domain.intents:
            yield file.problem((*at, "intents"), f"intent '{intent}' is not in intents.yaml; add it there")
        elif domain.flow_of(intent) != name:
            other = domain.flow_of(intent)
            yield file.problem((*at, "intents"), f"intent '{intent}' opens flow '{other}' too; keep it in one flow")
    ids = [step.id for step in flow.steps if step.id]
    known = set(ALWAYS_KNOWN) | set(domain.slots) | set(flow.slots)
    known |= _results(domain, name, set())
    if domain.manner.identity is not None:
        known.add("customer")
    for n, step in enumerate(flow.steps):
        here: Where = (*at, "steps", n)
        if step.id and ids.count(step.id) > 1:
            yield file.problem((*here, "id"), f"id '{step.id}' appears twice in flow '{name}'; rename one")
        for tail, target in _targets(step):
            missing = (
                target.removeprefix("flow:") not in domain.flows if target.startswith("flow:") else target not in ids
            )
            if missing:
                yield file.problem(
                    (*here, *tail), f"jumps to '{target}', which does not exist; name an id of this flow or flow:NAME"
                )
        for key, slot in _slots(step):
            if slot not in domain.slots and slot not in flow.slots:
                yield file.problem(
                    (*here, key), f"slot '{slot}' is not in intents.yaml nor in the flow's 'slots'; add it to one"
                )
        for tail, action in _actions(step):
            if action not in domain.manner.actions:
                yield file.problem(
                    (*here, *tail), f"action '{action}' is not in domain.yaml; add it under 'actions' there"
                )
        if isinstance(step, AssistStep):
            yield from _check_assist(domain, step, file, here)
        for key, text in texts_of(step):
            yield from _check_text(file, (*here, key), text, known)
        for key, path in _paths(step):
            if path.split(".")[0] not in known:
                yield file.problem((*here, key), f"'{path}' names nothing this flow knows; use a slot or a result")
        if isinstance(step, DoStep) and (step.do not in domain.flows or step.do == name):
            yield file.problem(
                (*here, "do"), f"flow '{step.do}' cannot be run from here; name another flow of flows.yaml"
            )
        if isinstance(step, VerifiedStep) and step.verified not in known:
            yield file.problem(
                (*here, "verified"), f"'{step.verified}' is no result of this flow; name the 'into' of a call"
            )
        if isinstance(step, AskStep) and step.read_back:
            yield from _check_text(file, (*here, "read_back"), step.read_back, known | {"value"})
        if isinstance(step, AskStep):
            if (step.accept == "option") != (step.options is not None):
                yield file.problem(here, "'accept: option' and 'options' belong together; give both or neither")
            for intent in step.takes:
                if intent not in domain.intents:
                    yield file.problem((*here, "takes"), f"intent '{intent}' is not in intents.yaml; add it there")


def _check_assist(domain: Domain, step: AssistStep, file: YamlFile, here: Where) -> Iterator[str]:
    for n, name in enumerate(step.actions):
        spec = domain.manner.actions.get(name)
        at = (*here, "actions", n)
        if spec is not None and spec.side_effects and spec.confirm is None:
            yield file.problem(
                at, f"action '{name}' changes something; give it a question 'confirm' in domain.yaml, or leave it out"
            )
        if spec is not None and spec.sensitive:
            yield file.problem(at, f"action '{name}' takes secrets, which no model may handle; use a step 'call'")
        for path, form in holes(spec.confirm or "") if spec is not None else ():
            if form is not None and form not in FORMATS:
                unknown = f"unknown format in '{{{path}|{form}}}' of 'confirm' of action '{name}'"
                yield file.problem(at, f"{unknown}; use one of {sorted(FORMATS)}")


def _results(domain: Domain, name: str, seen: set[str]) -> set[str]:
    """Names of what the flow `name` learns from actions, and of its own slots, with the flows it runs."""
    if name in seen or name not in domain.flows:
        return set()
    seen.add(name)
    found: set[str] = set(domain.flows[name].slots)
    for step in domain.flows[name].steps:
        if isinstance(step, CallStep | AssistStep):
            found.add(step.into)
        elif isinstance(step, AskStep) and step.check:
            found.add(step.check.into)
        elif isinstance(step, DoStep):
            found |= _results(domain, step.do, seen)
    return found


def _targets(step: Any) -> Iterator[tuple[Where, str]]:
    for key in ("jump", "if_yes", "if_no", "on_error", "otherwise"):
        target = getattr(step, key, None)
        if target is not None:
            yield (key,), target
    if isinstance(step, BranchStep):
        for case, target in step.cases.items():
            yield ("cases", case), target


def _slots(step: Any) -> Iterator[tuple[str, str]]:
    if isinstance(step, AskStep):
        yield "ask", step.ask
    if isinstance(step, ForgetStep):
        for slot in step.forget:
            yield "forget", slot
    if isinstance(step, SetStep):
        for slot in step.set:
            yield "set", slot


def _actions(step: Any) -> Iterator[tuple[Where, str]]:
    if isinstance(step, CallStep):
        yield ("call",), step.call
    if isinstance(step, AskStep) and step.check:
        yield ("check", "action"), step.check.action
    if isinstance(step, AssistStep):
        for n, action in enumerate(step.actions):
            yield ("actions", n), action


def texts_of(step: Any) -> Iterator[tuple[str, str]]:
    if isinstance(step, SayStep):
        yield "say", step.say
    if isinstance(step, ConfirmStep):
        yield "confirm", step.confirm
    if isinstance(step, AskStep):
        yield "text", step.text
        for text in step.reprompts:
            yield "reprompts", text
        if step.wrong:
            yield "wrong", step.wrong
        if step.valid:
            yield "valid", step.valid.wrong
    if isinstance(step, AssistStep) and step.filler:
        yield "filler", step.filler
    if isinstance(step, CallStep):
        for value in step.arguments.values():
            if isinstance(value, str):
                yield "arguments", value
    if isinstance(step, SetStep):
        for value in step.set.values():
            if isinstance(value, str):
                yield "arguments", value


def _paths(step: Any) -> Iterator[tuple[str, str]]:
    if isinstance(step, BranchStep):
        yield "branch", step.branch
    if isinstance(step, AskStep) and step.options:
        yield "options", step.options


def _check_text(file: YamlFile, where: Where, text: str, known: frozenset[str] | set[str]) -> Iterator[str]:
    for path, form in holes(text):
        if path.split(".")[0] not in known:
            yield file.problem(where, f"'{{{path}}}' names nothing that is known here; use one of {sorted(known)}")
        if form is not None and form not in FORMATS:
            yield file.problem(where, f"unknown format '{form}' in '{{{path}|{form}}}'; use one of {sorted(FORMATS)}")
