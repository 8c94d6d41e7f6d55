"""The flow engine: runs the steps of open flows up to the next thing it must wait for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from agent.dialogue.contracts import HandOff, HangUp, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.frames import Frames
from agent.dialogue.needs import Helped, Need, Stop
from agent.dialogue.questions import Questions
from agent.dialogue.state import CallState, Consent, Frame, Known, Pending
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
    ForgetStep,
    HandOffStep,
    HangUpStep,
    JumpStep,
    SayStep,
    SetStep,
    VerifiedStep,
)
from agent.dialogue.text import look_up, render, resolve
from agent.dialogue.validity import unfitting
from agent.dialogue.wordings import Wordings

MOST_STEPS = 200
"""Steps run without waiting for anything; more is a loop in the domain's flows."""


class FlowMachine:
    """Moves a `CallState` through a domain's flows."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.frames = Frames(domain)
        """Where each open flow stands."""
        self.wordings = Wordings(domain)
        """The domain's words."""
        self.questions = Questions(domain, self.frames, self.wordings)
        """What is asked, and what answer is expected."""

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
            steps = self.frames.flow(frame).steps
            step = steps[frame.at] if frame.at < len(steps) else EndStep(end="ask")
            if self._unproven(state, frame, step):
                open_ = next((n for n, one in enumerate(state.frames) if one.flow == self._identity), None)
                if open_ is None:
                    parts += self.wordings.phrase(state, "verify_first", today)
                    state.frames.append(Frame(self._identity, frame.words, within=True))
                else:
                    state.frames.append(state.frames.pop(open_))
                continue
            if state.pending is not None and state.pending.kind == "did_you_mean":
                parts += self.questions.put(state, today)
                return parts, "listen"
            if frame.failed:
                frame.failed = False
                parts += self.wordings.phrase(state, "action_failed", today)
                parts.append(self.leave(state, "an action failed", "action_failed"))
                return parts, "leave"
            if isinstance(step, SayStep):
                parts += self.wordings.says(
                    step.say, step.tone, self.wordings.scope(state, today), step.must_hear, step.optional
                )
                frame.at += 1
            elif isinstance(step, AskStep):
                known = state.slots.get(step.ask)
                if known is None and frame.tries.get(frame.at, 0) > step.attempts:
                    parts += self.wordings.phrase(state, "handing_over", today)
                    parts.append(self.leave(state, f"could not get the {step.ask.replace('_', ' ')}", "slot_attempts"))
                    return parts, "leave"
                if step.sensitive:
                    state.sensitive.add(step.ask)
                if known is None:
                    return parts + self.questions.put_step(state, step, today), "listen"
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
                    parts += self.wordings.phrase(state, "handing_over", today)
                    parts.append(self.leave(state, "could not get a yes or no", "slot_attempts"))
                    return parts, "leave"
                return parts + self.questions.put_step(state, step, today), "listen"
            elif isinstance(step, CallStep):
                return parts, self._need(state, step.call, step.arguments, today)
            elif isinstance(step, BranchStep):
                value = look_up(self.wordings.scope(state, today), step.branch)
                self.frames.go(state, frame, step.cases.get(case_of(value, step.cases), step.otherwise))
            elif isinstance(step, AnswerStep):
                return parts, "search"
            elif isinstance(step, ForgetStep):
                for name in step.forget:
                    state.forget(name)
                frame.at += 1
            elif isinstance(step, SetStep):
                scope = self.wordings.scope(state, today)
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
                self.frames.go(state, frame, step.otherwise)
            elif isinstance(step, JumpStep):
                self.frames.go(state, frame, step.jump)
            elif isinstance(step, HandOffStep):
                parts += self.wordings.phrase(state, "handing_over", today)
                parts.append(self.leave(state, step.hand_off, f"flow:{frame.flow}", step.priority))
                return parts, "leave"
            elif isinstance(step, HangUpStep):
                state.closed = True
                parts.append(HangUp(step.hang_up))
                return parts, "leave"
            elif frame.flow == self._identity and frame.within and state.customer is None:
                self.frames.drop(state)
                quiet = step.end == "quiet"
                if not quiet and state.frame is None:
                    state.pending = Pending("more")
                    return parts + self.questions.put(state, today), "listen"
            else:
                self.frames.close(state)
                if state.frame is None and state.wishes:
                    parts += self.next_wish(state, today)
                elif state.frame is None and step.end == "ask":
                    return parts, "finished"
        raise ValueError(f"flow '{state.frames[-1].flow}' runs {MOST_STEPS} steps without waiting; break the loop")

    def confirmed(self, state: CallState, yes: bool, words: str = "") -> None:
        """The caller answered a confirm step, in these words; a consent is kept with what was asked."""
        frame, step = state.frame, self.frames.asking(state)
        if frame is None or not isinstance(step, ConfirmStep):
            raise ValueError("no confirmation was asked for")
        if step.consent:
            state.consents[step.consent] = Consent(yes, state.turn, state.reply.question, words)
        if yes:
            for name in self.frames.asked_before(frame):
                if name in state.slots:
                    state.slots[name].verified = True
            self.frames.go(state, frame, step.if_yes)
        else:
            self.frames.go(state, frame, step.if_no)

    def result(self, state: CallState, ok: bool, data: Mapping[str, Any]) -> None:
        """Take the outcome of the action that `advance` asked for; `ok` False is a failure of the action itself."""
        frame = state.frame
        if frame is None:
            return
        step = self.frames.flow(frame).steps[frame.at]
        if isinstance(step, CallStep):
            frame.results[step.into] = dict(data) if ok else {}
            if ok or step.on_error:
                self.frames.go(state, frame, None if ok else step.on_error)
            else:
                frame.failed = True
        elif isinstance(step, AssistStep) and frame.agreed is not None:
            agreed, frame.agreed = frame.agreed, None
            frame.results[step.into] = {**data, "action": agreed.action} if ok else {}
            self.frames.go(state, frame, None if ok else step.otherwise)
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
        self.frames.close(state)
        if isinstance(self.frames.asking(state), AskStep):
            self.frames.missed(state)
            return [*self.wordings.phrase(state, "no_answer", today)]
        state.pending = Pending("person", rule="no_answer", reason="the knowledge base has no answer")
        return [*self.wordings.phrase(state, "no_answer", today), *self.questions.put(state, today)]

    def assisted(self, state: CallState, helped: Helped, today: date) -> list[Part]:
        """Take what a language model said or proposed; the flow goes on, or waits for the caller's answer."""
        frame, step = state.frame, self.frames.talking(state)
        if frame is None or step is None:
            return []
        says = [Say(text) for text in helped.says]
        if helped.proposal is not None:
            action = self._domain.manner.actions[helped.proposal.action]
            try:
                words = render(action.confirm or "", self.wordings.scope(state, today) | helped.proposal.arguments)
            except ValueError:
                words = ""
            if words:
                state.pending = Pending("proposal", words=words, value=asdict(helped.proposal))
                return [*says, *self.questions.put(state, today)]
        elif helped.asks:
            return self.questions.asked(state, says, self.questions.expecting(state))
        elif says:
            frame.results[step.into] = {**helped.result, "action": helped.ran or "none"}
            frame.at += 1
            state.failures = state.unclear = 0
            return [*says]
        self.frames.go(state, frame, step.otherwise)
        return []

    def next_wish(self, state: CallState, today: date) -> list[Say]:
        """Open what the caller asked for besides, and say so."""
        wish = state.wishes.pop(0)
        for name, value in wish.slots.items():
            if name in self._domain.asked(wish.flow):
                state.learn(name, value)
        self.frames.open(state, wish.flow, wish.words)
        return self.wordings.phrase(state, "and_now", today, title=self._domain.flows[wish.flow].title)

    def leave(self, state: CallState, reason: str, rule: str, priority: int = 0) -> HandOff:
        """Hand the call to a person."""
        state.pending = None
        context = {name: known.value for name, known in state.slots.items()}
        where = state.frame.flow if state.frame else None
        state.handed_off = HandOff(reason, rule, priority, {"flow": where, "slots": context})
        return state.handed_off

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

    def _unproven(self, state: CallState, frame: Frame, step: AnyStep) -> bool:
        """Whether the caller must be proven before this step."""
        if state.customer is not None or not self._identity or frame.flow == self._identity:
            return False
        for below in reversed(state.frames):
            if below.flow == self._identity:
                return False
            if not below.within:
                break
        if frame.proven or (self.frames.flow(frame).verified and frame.at == 0):
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

    def _need(self, state: CallState, action: str, arguments: Mapping[str, Any], today: date) -> Need:
        scope = self.wordings.scope(state, today)
        return Need(action, {name: resolve(argument, scope) for name, argument in arguments.items()})


def case_of(value: Any, cases: Mapping[str, str]) -> str:
    """The key of `cases` that a value goes by: "none" for none, "true" or "yes" for true."""
    key = "none" if value is None else str(value).lower()
    if isinstance(value, bool) and key not in cases:
        return "yes" if value else "no"
    return key
