"""Questions to the caller: that of the step a flow waits at, the dialogue's own, and what answer each expects. Pure."""

from __future__ import annotations

from datetime import date
from typing import Any

from agent.dialogue.contracts import Expect, Part, Say
from agent.dialogue.domain import Domain
from agent.dialogue.formats import spoken_value
from agent.dialogue.frames import Frames
from agent.dialogue.manner import matches
from agent.dialogue.state import CallState, Pending
from agent.dialogue.steps import AskStep, ConfirmStep
from agent.dialogue.text import sentences
from agent.dialogue.wordings import Wordings
from models.contracts import UnderstandingContext

_QUESTIONS = {
    "person": "offer_person",
    "more": "anything_else",
    "read_back": "read_back",
    "did_you_mean": "did_you_mean",
    "continue": "continue_call",
    "last_topic": "last_topic",
}


class Questions:
    """Words the questions of a domain."""

    def __init__(self, domain: Domain, frames: Frames, wordings: Wordings) -> None:
        self._domain = domain
        self._frames = frames
        self._wordings = wordings

    def put(self, state: CallState, today: date) -> list[Part]:
        """Put the question that is open now, and say what is expected."""
        if state.pending is not None:
            name = _QUESTIONS.get(state.pending.kind, "")
            if state.pending.kind in ("read_back", "did_you_mean"):
                return self.asked(state, self._read_back(state, state.pending, name, today), self.expecting(state))
            if state.pending.kind in ("offer", "proposal"):
                says = self._wordings.says(state.pending.words, "neutral", self._wordings.scope(state, today))
                return self.asked(state, says, self.expecting(state))
            if state.pending.kind == "asked":
                return self.asked(state, [Say(text) for text in sentences(state.pending.words)], self.expecting(state))
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
            return self.asked(state, self._wordings.phrase(state, name, today, **scope), self.expecting(state))
        step = self._frames.asking(state)
        if step is not None:
            return self.put_step(state, step, today)
        if self._frames.talking(state) is not None and state.reply.question:
            return [Say(state.reply.question), self.expecting(state)]
        return [self.expecting(state)]

    def expecting(self, state: CallState) -> Expect:
        """What kind of answer is waited for now."""
        language = self._domain.manner.language
        step = self._frames.asking(state)
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

    def put_step(self, state: CallState, step: AskStep | ConfirmStep, today: date) -> list[Part]:
        """Put the question of a step, worded by how often it was asked and what was wrong."""
        frame = state.frames[-1]
        tries = frame.tries.get(frame.at, 0)
        scope = self._wordings.scope(state, today)
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
            before += self._wordings.phrase(state, "resume", today, title=self._frames.flow(frame).title)
        must_hear = isinstance(step, ConfirmStep) and step.must_hear
        says = [*self._wordings.says(text, step.tone, scope, must_hear), *after]
        return before + self.asked(state, says, self.expecting(state))

    def asked(self, state: CallState, says: list[Say], expect: Expect) -> list[Part]:
        """A question and what it expects; it is kept as the one that is open."""
        state.reply.question = " ".join(say.text for say in says)
        return [*says, expect]

    def _other_way(
        self, state: CallState, step: AskStep | ConfirmStep, tries: int, text: str, today: date
    ) -> list[Say]:
        """From the second reprompt on: the keypad for numbers, letter by letter for names and e-mail addresses."""
        if not isinstance(step, AskStep) or tries < 2:
            return []
        digits = self._domain.digits(step.ask) is not None
        if (digits if step.keys is None else step.keys) and not matches((r"\b(keys?|keypad|press|type)\b",), text):
            return self._wordings.phrase(state, "use_keys", today)
        if self._domain.profile(step) in ("email", "spelling") and not matches((r"\bspell|letter by letter",), text):
            return self._wordings.phrase(state, "spell_it", today)
        return []

    def _read_back(self, state: CallState, pending: Pending, name: str, today: date) -> list[Say]:
        spec = self._domain.slots.get(pending.slot)
        language = self._domain.manner.language
        value = spoken_value(pending.value, spec.type if spec else "text", today, language)
        step = self._frames.asking(state)
        if pending.kind == "read_back" and isinstance(step, AskStep) and step.read_back:
            return self._wordings.says(step.read_back, step.tone, self._wordings.scope(state, today) | {"value": value})
        return self._wordings.phrase(state, name, today, value=value)
