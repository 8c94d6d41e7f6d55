"""The flow engine: runs the steps of open flows up to the next thing it must wait for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from agent.dialogue.contracts import Expect, HandOff, HangUp, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.formats import spoken_value
from agent.dialogue.manner import matches
from agent.dialogue.state import DONE_FLOWS, OPEN_FLOWS, CallState, Consent, Frame, Known, Pending, Proposed
from agent.dialogue.steps import (
    AnswerStep,
    AnyStep,
    AskStep,
    AssistStep,
    BranchStep,
    CallStep,
    ConfirmStep,
    DoStep,
    EndStep,
    Flow,
    ForgetStep,
    HandOffStep,
    HangUpStep,
    JumpStep,
    SayStep,
    SetStep,
    VerifiedStep,
)
from agent.dialogue.text import look_up, render, resolve, sentences
from agent.dialogue.validity import unfitting
from agent.dialogue.written import Phrase
from models.contracts import Tone, UnderstandingContext

MOST_STEPS = 200
"""Steps run without waiting for anything; more is a loop in the domain's flows."""


@dataclass(frozen=True, slots=True)
class Need:
    """An action must run before the flow can go on; its outcome goes to `FlowMachine.result`."""

    action: str
    arguments: Mapping[str, Any]


Stop = Need | Literal["listen", "search", "assist", "leave", "proven", "finished"]
"""What the machine waits for: an action, the caller, a search of the knowledge (`answered`), a language model
(`assisted`), or nothing any more.

proven: the caller was just verified. finished: the last open task is done, and it may be asked what else there is.
"""


@dataclass(frozen=True, slots=True)
class Helped:
    """What a language model made of a goal, in one turn.

    says: checked sentences. asks: the last of them is a question to the caller. proposal: an action with side effects,
    which has not run. ran, result: the read-only action that ran last, and what it gave.
    """

    says: tuple[str, ...] = ()
    asks: bool = False
    proposal: Proposed | None = None
    ran: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


class FlowMachine:
    """Moves a `CallState` through a domain's flows."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def flow(self, frame: Frame) -> Flow:
        """The flow that `frame` is in."""
        return self._domain.flows[frame.flow]

    def asking(self, state: CallState) -> AskStep | ConfirmStep | None:
        """The question that the top flow waits at, if it waits for the caller."""
        frame = state.frame
        if frame is None or frame.at >= len(self.flow(frame).steps):
            return None
        step = self.flow(frame).steps[frame.at]
        return step if isinstance(step, AskStep | ConfirmStep) else None

    def talking(self, state: CallState) -> AssistStep | None:
        """The step in which a language model talks with the caller, if the top flow is there and no action runs."""
        frame = state.frame
        if frame is None or frame.at >= len(self.flow(frame).steps) or frame.agreed is not None:
            return None
        step = self.flow(frame).steps[frame.at]
        return step if isinstance(step, AssistStep) else None

    def asks(self, frame: Frame, slot: str) -> int | None:
        """The step of `frame`'s flow where `slot` is asked for, there or in a flow it runs; None where it is not."""
        return self._domain.asked(frame.flow).get(slot)

    def phrase(self, state: CallState, name: str, today: date, /, **scope: Any) -> list[Say]:
        """The phrase `name`, its wordings in turn."""
        return self.worded(state, name, self._domain.manner.phrases[name], today, **scope)

    def worded(self, state: CallState, name: str, phrase: Phrase, today: date, /, **scope: Any) -> list[Say]:
        """The sentences of the next wording of `phrase`; `name` counts which came last."""
        count = state.spoken.get(name, 0)
        state.spoken[name] = count + 1
        said = phrase.text[count % len(phrase.text)]
        return self._says(said, phrase.tone, self.scope(state, today) | scope, optional=phrase.optional)

    def scope(self, state: CallState, today: date) -> dict[str, Any]:
        """Every value a template or argument may name."""
        manner = self._domain.manner
        scope: dict[str, Any] = {"business": manner.business, "today": today, "language": manner.language}
        scope |= {name: known.value for name, known in state.slots.items()}
        if state.customer is not None:
            scope["customer"] = state.customer
        if state.frame is not None:
            frame = state.frame
            scope |= {"words": frame.words, "given": frame.wrong} | frame.results
        return scope

    def open(self, state: CallState, flow: str, words: str) -> None:
        """Put `flow` on top; a flow that is already open is taken up again instead."""
        for n, frame in enumerate(state.frames):
            if frame.flow == flow:
                del state.frames[n + 1 :]
                return
        if state.frame is not None:
            state.frame.resumed = True
        state.frames.append(Frame(flow, words))
        del state.frames[:-OPEN_FLOWS]

    def close(self, state: CallState) -> Frame:
        """Take the top flow off: it is done or dropped. One that another flow ran leaves it its results."""
        frame = state.frames.pop()
        state.done.append(frame)
        del state.done[:-DONE_FLOWS]
        own = {step.ask for step in self.flow(frame).steps if isinstance(step, AskStep)} | frame.borrowed
        own |= {name for step in self.flow(frame).steps if isinstance(step, SetStep) for name in step.set}
        own -= set(self._domain.manner.remember)
        if frame.within and state.frame is not None:
            state.frame.results |= frame.results
            state.frame.borrowed |= own
        else:
            for name in own:
                state.slots.pop(name, None)
        return frame

    def drop(self, state: CallState) -> Frame:
        """Take the top task off, with the flows it runs; what is returned is the task's own flow."""
        frame = self.close(state)
        while frame.within and state.frames:
            frame = self.close(state)
        return frame

    def refill(self, state: CallState, slot: str) -> bool:
        """Go back to where `slot` is asked for, so that what follows is done again. False if this flow never asks."""
        frame = state.frame
        at = None if frame is None else self.asks(frame, slot)
        if frame is None or at is None:
            return False
        if at <= frame.at:
            frame.at = at
            earlier = self._results(self.flow(frame).steps[:at])
            frame.results = {name: result for name, result in frame.results.items() if name in earlier}
            frame.tries = {n: tries for n, tries in frame.tries.items() if n <= at}
        return True

    def missed(self, state: CallState) -> None:
        """The caller's words did not answer the question of the top flow."""
        frame = state.frame
        if frame is not None:
            frame.tries[frame.at] = frame.tries.get(frame.at, 0) + 1
            frame.wrong = frame.unfit = None

    def confirmed(self, state: CallState, yes: bool, words: str = "") -> None:
        """The caller answered a confirm step, in these words; a consent is kept with what was asked."""
        frame, step = state.frame, self.asking(state)
        if frame is None or not isinstance(step, ConfirmStep):
            raise ValueError("no confirmation was asked for")
        if step.consent:
            state.consents[step.consent] = Consent(yes, state.turn, state.reply.question, words)
        if yes:
            for name in self._asked_before(frame):
                if name in state.slots:
                    state.slots[name].verified = True
            self._go(state, frame, step.if_yes)
        else:
            self._go(state, frame, step.if_no)

    def result(self, state: CallState, ok: bool, data: Mapping[str, Any]) -> None:
        """Take the outcome of the action that `advance` asked for; `ok` False is a failure of the action itself."""
        frame = state.frame
        if frame is None:
            return
        step = self.flow(frame).steps[frame.at]
        if isinstance(step, CallStep):
            frame.results[step.into] = dict(data) if ok else {}
            if ok or step.on_error:
                self._go(state, frame, None if ok else step.on_error)
            else:
                frame.failed = True
        elif isinstance(step, AssistStep) and frame.agreed is not None:
            agreed, frame.agreed = frame.agreed, None
            frame.results[step.into] = {**data, "action": agreed.action} if ok else {}
            self._go(state, frame, None if ok else step.otherwise)
        elif isinstance(step, AskStep) and step.check:
            known = state.slots.get(step.ask)
            if not ok:
                frame.failed = True
            elif data.get(step.check.ok):
                frame.results[step.check.into] = dict(data)
                if known is not None:
                    known.verified = True
                frame.at += 1
                state.failures = state.unclear = 0
                if known is not None and known.guessed:
                    state.pending = Pending("did_you_mean", slot=step.ask, value=known.value)
            elif self._other_value(state, step.ask):
                return
            else:
                first = frame.wrong if known is not None and known.guessed else None if known is None else known.value
                self._refuse(state, frame, step, first)

    def _other_value(self, state: CallState, slot: str) -> bool:
        """Try what else the recognizer may have heard, in place of a value that was refused."""
        rest = state.others.get(slot, [])
        if not rest:
            return False
        known = state.slots.get(slot)
        frame = state.frames[-1]
        if known is not None and not known.guessed:
            frame.wrong = known.value
        state.slots[slot] = Known(rest.pop(0), state.turn, guessed=True)
        return True

    def _refuse(self, state: CallState, frame: Frame, step: AskStep, value: Any, unfit: str | None = None) -> None:
        frame.wrong, frame.unfit = value, unfit
        frame.tries[frame.at] = frame.tries.get(frame.at, 0) + 1
        state.slots.pop(step.ask, None)
        state.others.pop(step.ask, None)
        state.failures += 1

    def answered(self, state: CallState, found: bool, today: date) -> list[Part]:
        """Take whether the search found an answer, which has been given; the answer step is then done.

        Without one a person is offered, or the question put again that was open before.
        """
        frame = state.frame
        if frame is None:
            return []
        if found:
            frame.at += 1
            state.failures = state.unclear = 0
            return []
        self.close(state)
        if isinstance(self.asking(state), AskStep):
            self.missed(state)
            return [*self.phrase(state, "no_answer", today)]
        state.pending = Pending("person", rule="no_answer", reason="the knowledge base has no answer")
        return [*self.phrase(state, "no_answer", today), *self.question(state, today)]

    def assisted(self, state: CallState, helped: Helped, today: date) -> list[Part]:
        """Take what a language model said or proposed; the flow goes on, or waits for the caller's answer."""
        frame, step = state.frame, self.talking(state)
        if frame is None or step is None:
            return []
        says = [Say(text) for text in helped.says]
        if helped.proposal is not None:
            action = self._domain.manner.actions[helped.proposal.action]
            try:
                words = render(action.confirm or "", self.scope(state, today) | helped.proposal.arguments)
            except ValueError:
                words = ""
            if words:
                state.pending = Pending("proposal", words=words, value=asdict(helped.proposal))
                return [*says, *self.question(state, today)]
        elif helped.asks:
            return self._asked(state, says, self.expecting(state))
        elif says:
            frame.results[step.into] = {**helped.result, "action": helped.ran or "none"}
            frame.at += 1
            state.failures = state.unclear = 0
            return [*says]
        self._go(state, frame, step.otherwise)
        return []

    def advance(self, state: CallState, today: date) -> tuple[list[Part], Stop]:
        """Run steps until something must be waited for.

        Raises:
            ValueError: a template lacks a value, or the flows go round without ever waiting.
        """
        parts: list[Part] = []
        for _ in range(MOST_STEPS):
            frame = state.frame
            if frame is None:
                return parts, "listen"
            steps = self.flow(frame).steps
            step = steps[frame.at] if frame.at < len(steps) else EndStep(end="ask")
            if self._unproven(state, frame, step):
                open_ = next((n for n, one in enumerate(state.frames) if one.flow == self._identity), None)
                if open_ is None:
                    parts += self.phrase(state, "verify_first", today)
                    state.frames.append(Frame(self._identity, frame.words, within=True))
                else:
                    state.frames.append(state.frames.pop(open_))
                continue
            if state.pending is not None and state.pending.kind == "did_you_mean":
                parts += self.question(state, today)
                return parts, "listen"
            if frame.failed:
                frame.failed = False
                parts += self.phrase(state, "action_failed", today)
                parts.append(self.leave(state, "an action failed", "action_failed"))
                return parts, "leave"
            if isinstance(step, SayStep):
                parts += self._says(step.say, step.tone, self.scope(state, today), step.must_hear, step.optional)
                frame.at += 1
            elif isinstance(step, AskStep):
                known = state.slots.get(step.ask)
                if known is None and frame.tries.get(frame.at, 0) > step.attempts:
                    parts += self.phrase(state, "handing_over", today)
                    parts.append(self.leave(state, f"could not get the {step.ask.replace('_', ' ')}", "slot_attempts"))
                    return parts, "leave"
                if step.sensitive:
                    state.sensitive.add(step.ask)
                if known is None:
                    return parts + self._put(state, step, today), "listen"
                unfit = None if step.valid is None else unfitting(step.valid, known.value, today)
                if unfit is not None:
                    if not self._other_value(state, step.ask):
                        self._refuse(state, frame, step, known.value, unfit)
                    continue
                if step.check is not None:
                    return parts, self._need(state, step.check.action, step.check.arguments, today)
                frame.at += 1
                state.failures = state.unclear = 0
            elif isinstance(step, ConfirmStep):
                if frame.tries.get(frame.at, 0) > step.attempts:
                    parts += self.phrase(state, "handing_over", today)
                    parts.append(self.leave(state, "could not get a yes or no", "slot_attempts"))
                    return parts, "leave"
                return parts + self._put(state, step, today), "listen"
            elif isinstance(step, CallStep):
                return parts, self._need(state, step.call, step.arguments, today)
            elif isinstance(step, BranchStep):
                value = look_up(self.scope(state, today), step.branch)
                self._go(state, frame, step.cases.get(case_of(value, step.cases), step.otherwise))
            elif isinstance(step, AnswerStep):
                return parts, "search"
            elif isinstance(step, ForgetStep):
                for name in step.forget:
                    state.forget(name)
                frame.at += 1
            elif isinstance(step, SetStep):
                scope = self.scope(state, today)
                for name, value in step.set.items():
                    state.slots[name] = Known(resolve(value, scope), state.turn, verified=True)
                frame.at += 1
            elif isinstance(step, DoStep):
                frame.at += 1
                state.frames.append(Frame(step.do, frame.words, within=True))
            elif isinstance(step, VerifiedStep):
                state.customer = dict(look_up(frame.results, step.verified) or {})
                frame.at += 1
                return parts, "proven"
            elif isinstance(step, AssistStep):
                if frame.agreed is not None:
                    return parts, Need(frame.agreed.action, frame.agreed.arguments)
                tries = frame.tries.get(frame.at, 0)
                if tries < step.most_turns:
                    frame.tries[frame.at] = tries + 1
                    return parts, "assist"
                self._go(state, frame, step.otherwise)
            elif isinstance(step, JumpStep):
                self._go(state, frame, step.jump)
            elif isinstance(step, HandOffStep):
                parts += self.phrase(state, "handing_over", today)
                parts.append(self.leave(state, step.hand_off, f"flow:{frame.flow}", step.priority))
                return parts, "leave"
            elif isinstance(step, HangUpStep):
                state.closed = True
                parts.append(HangUp(step.hang_up))
                return parts, "leave"
            elif frame.flow == self._identity and frame.within and state.customer is None:
                self.drop(state)
                quiet = step.end == "quiet"
                if not quiet and state.frame is None:
                    state.pending = Pending("more")
                    return parts + self.question(state, today), "listen"
            else:
                self.close(state)
                if state.frame is None and state.wishes:
                    parts += self.next_wish(state, today)
                elif state.frame is None and step.end == "ask":
                    return parts, "finished"
        raise ValueError(f"flow '{state.frames[-1].flow}' runs {MOST_STEPS} steps without waiting; break the loop")

    def next_wish(self, state: CallState, today: date) -> list[Say]:
        """Open what the caller asked for besides, and say so."""
        wish = state.wishes.pop(0)
        for name, value in wish.slots.items():
            if name in self._domain.asked(wish.flow):
                state.learn(name, value)
        self.open(state, wish.flow, wish.words)
        return self.phrase(state, "and_now", today, title=self._domain.flows[wish.flow].title)

    def _unproven(self, state: CallState, frame: Frame, step: AnyStep) -> bool:
        """Whether the caller must be proven before this step."""
        if state.customer is not None or not self._identity or frame.flow == self._identity:
            return False
        for below in reversed(state.frames):
            if below.flow == self._identity:
                return False
            if not below.within:
                break
        if frame.proven or (self.flow(frame).verified and frame.at == 0):
            return True
        actions = self._domain.manner.actions
        action = None
        if isinstance(step, CallStep):
            action = step.call
        elif isinstance(step, AskStep) and step.check is not None and step.ask in state.slots:
            action = step.check.action
        elif isinstance(step, AssistStep) and frame.agreed is None:
            return any(actions[name].identity == "verified" for name in step.actions)
        return action is not None and actions[action].identity == "verified"

    @property
    def _identity(self) -> str:
        return self._domain.manner.identity.flow if self._domain.manner.identity is not None else ""

    def question(self, state: CallState, today: date) -> list[Part]:
        """Put the question that is open now, and say what is expected."""
        if state.pending is not None:
            name = _QUESTIONS.get(state.pending.kind, "")
            if state.pending.kind in ("read_back", "did_you_mean"):
                return self._asked(state, self._read_back(state, state.pending, name, today), self.expecting(state))
            if state.pending.kind in ("offer", "proposal"):
                says = self._says(state.pending.words, "neutral", self.scope(state, today))
                return self._asked(state, says, self.expecting(state))
            if state.pending.kind == "asked":
                return self._asked(state, [Say(text) for text in sentences(state.pending.words)], self.expecting(state))
            if state.pending.kind == "continue":
                scope: dict[str, Any] = {"title": self._domain.flows[state.pending.options[0]].title}
            elif state.pending.kind == "last_topic":
                scope = {"topic": state.pending.words}
            elif state.pending.kind == "clarify":
                offers = [self._domain.flows[flow].offer for flow in state.pending.options]
                name = "clarify_one" if len(offers) == 1 else "clarify_two"
                scope = dict(zip(("first", "second"), offers, strict=False))
            else:
                scope = {}
            return self._asked(state, self.phrase(state, name, today, **scope), self.expecting(state))
        step = self.asking(state)
        if step is not None:
            return self._put(state, step, today)
        if self.talking(state) is not None and state.reply.question:
            return [Say(state.reply.question), self.expecting(state)]
        return [self.expecting(state)]

    def expecting(self, state: CallState) -> Expect:
        """What kind of answer is waited for now."""
        language = self._domain.manner.language
        step = self.asking(state)
        if state.pending is not None:
            yes_no = state.pending.kind not in ("more", "clarify", "asked") or len(state.pending.options) == 1
            either = yes_no or state.pending.kind in ("more", "asked")
            kind = UnderstandingContext(asked_yes_no=either, language=language)
            return Expect("yes_no" if yes_no else "open", kind)
        if isinstance(step, ConfirmStep):
            return Expect("yes_no", UnderstandingContext(asked_yes_no=True, language=language))
        if isinstance(step, AskStep):
            return Expect(
                self._domain.profile(step),
                UnderstandingContext(expected_slots=(step.ask,), language=language),
                step.sensitive,
            )
        return Expect("open", UnderstandingContext(language=language))

    def leave(self, state: CallState, reason: str, rule: str, priority: int = 0) -> HandOff:
        """Hand the call to a person."""
        state.pending = None
        context = {name: known.value for name, known in state.slots.items()}
        where = state.frame.flow if state.frame else None
        state.handed_off = HandOff(reason, rule, priority, {"flow": where, "slots": context})
        return state.handed_off

    def _put(self, state: CallState, step: AskStep | ConfirmStep, today: date) -> list[Part]:
        frame = state.frames[-1]
        tries = frame.tries.get(frame.at, 0)
        scope = self.scope(state, today)
        text = step.confirm if isinstance(step, ConfirmStep) else step.text
        if isinstance(step, AskStep) and tries:
            if frame.unfit is not None:
                text = frame.unfit
            elif frame.wrong is not None and step.wrong:
                text = step.wrong
            elif step.reprompts:
                text = step.reprompts[min(tries, len(step.reprompts)) - 1]
        after = self._other_way(state, step, tries, text, today)
        before: list[Part] = []
        if frame.resumed:
            frame.resumed = False
            before += self.phrase(state, "resume", today, title=self.flow(frame).title)
        must_hear = isinstance(step, ConfirmStep) and step.must_hear
        says = [*self._says(text, step.tone, scope, must_hear), *after]
        return before + self._asked(state, says, self.expecting(state))

    def _other_way(
        self, state: CallState, step: AskStep | ConfirmStep, tries: int, text: str, today: date
    ) -> list[Say]:
        """From the second reprompt on: the keypad for numbers, letter by letter for names and e-mail addresses."""
        if not isinstance(step, AskStep) or tries < 2:
            return []
        digits = self._domain.digits(step.ask) is not None
        if (digits if step.keys is None else step.keys) and not matches((r"\b(keys?|keypad|press|type)\b",), text):
            return self.phrase(state, "use_keys", today)
        if self._domain.profile(step) in ("email", "spelling") and not matches((r"\bspell|letter by letter",), text):
            return self.phrase(state, "spell_it", today)
        return []

    def _read_back(self, state: CallState, pending: Pending, name: str, today: date) -> list[Say]:
        spec = self._domain.slots.get(pending.slot)
        language = self._domain.manner.language
        value = spoken_value(pending.value, spec.type if spec else "text", today, language)
        step = self.asking(state)
        if pending.kind == "read_back" and isinstance(step, AskStep) and step.read_back:
            return self._says(step.read_back, step.tone, self.scope(state, today) | {"value": value})
        return self.phrase(state, name, today, value=value)

    def _asked(self, state: CallState, says: list[Say], expect: Expect) -> list[Part]:
        state.reply.question = " ".join(say.text for say in says)
        return [*says, expect]

    def _need(self, state: CallState, action: str, arguments: Mapping[str, Any], today: date) -> Need:
        scope = self.scope(state, today)
        return Need(action, {name: resolve(argument, scope) for name, argument in arguments.items()})

    def _go(self, state: CallState, frame: Frame, target: str | None) -> None:
        if target is None:
            frame.at += 1
        elif target.startswith("flow:"):
            state.frames[-1] = Frame(target.removeprefix("flow:"), frame.words)
        else:
            frame.at = self.flow(frame).index(target)

    def _results(self, steps: Sequence[AnyStep], inside: frozenset[str] = frozenset()) -> set[str]:
        """Names of the results of `steps`, with those of the flows they run."""
        found: set[str] = set()
        for step in steps:
            if isinstance(step, CallStep | AssistStep):
                found.add(step.into)
            elif isinstance(step, AskStep) and step.check:
                found.add(step.check.into)
            elif isinstance(step, DoStep) and step.do not in inside:
                found |= self._results(self._domain.flows[step.do].steps, inside | {step.do})
        return found

    def _asked_before(self, frame: Frame) -> list[str]:
        return [step.ask for step in self.flow(frame).steps[: frame.at] if isinstance(step, AskStep)]

    @staticmethod
    def _says(
        template: str, tone: Tone, scope: Mapping[str, Any], must_hear: bool = False, optional: bool = False
    ) -> list[Say]:
        return [Say(text, tone, must_hear, optional=optional) for text in sentences(render(template, scope))]


def case_of(value: Any, cases: Mapping[str, str]) -> str:
    """The key of `cases` that a value goes by: "none" for none, "true" or "yes" for true."""
    key = "none" if value is None else str(value).lower()
    if isinstance(value, bool) and key not in cases:
        return "yes" if value else "no"
    return key


_QUESTIONS = {
    "person": "offer_person",
    "more": "anything_else",
    "read_back": "read_back",
    "did_you_mean": "did_you_mean",
    "continue": "continue_call",
    "last_topic": "last_topic",
}
