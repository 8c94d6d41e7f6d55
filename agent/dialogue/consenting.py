"""Consent to the recording: callers are told, or asked, before anything else, and heeded whenever they refuse."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from agent.dialogue.contracts import Because, CallerTurn, Dialogue, Expect, Part, Say
from agent.dialogue.inside import AroundDialogue
from agent.dialogue.own_questions import said_yes
from agent.records.consent import Consent, ConsentRule, Step, answered, begin, told
from models.contracts import Tone, UnderstandingContext

_REFUSAL = re.compile(
    r"\b(?:don'?t|do not|stop|not want|no)\b.{0,40}\brecord"
    r"|(?:不要|别|不想|不同意|不愿意|停止).{0,6}录音",
    re.IGNORECASE,
)


class ConsentedDialogue(AroundDialogue):
    """A dialogue that begins with the notice or the question; implements `agent.dialogue.contracts.Dialogue`.

    notice: it is said before the greeting, and sound is kept once it was heard whole. ask: it is asked before the
    greeting, and sound is kept after a yes. Who refuses, then or later in the call, is not recorded.
    """

    def __init__(self, inner: Dialogue, rule: ConsentRule, language: str) -> None:
        """language: what the call begins in."""
        super().__init__(inner)
        self._language = language
        self._first = begin(rule, language)
        self._consent: Consent = self._first.consent
        self._asking = False
        self._notice = ""
        self._began: tuple[str | None, Mapping[str, str]] = (None, {})

    @property
    def context(self) -> UnderstandingContext:
        """What is waited for now."""
        return UnderstandingContext(asked_yes_no=True, language=self._language) if self._asking else self._inner.context

    @property
    def sensitive(self) -> bool:
        """Whether what is waited for is neither recorded nor shown."""
        return not self._asking and self._inner.sensitive

    @property
    def may_record(self) -> bool:
        """Whether sound may be kept now."""
        return self._consent.may_record and self._inner.may_record

    def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        """Tell or ask, then greet: at once after the notice, after the answer to the question."""
        return self._open(caller, parameters)

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """Take the answer to the question, or heed a refusal; else as the dialogue inside."""
        return self._respond(turn)

    def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """As the dialogue inside; what is said of the recording is not foreseen."""
        mine = self._asking or self._notice or _REFUSAL.search(turn.text)
        return _nothing() if mine else self._inner.preview(turn)

    def snapshot(self) -> Any:
        """The state as it is now."""
        return self._consent, self._asking, self._notice, self._inner.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Take back a turn that nobody heard the answer of."""
        self._consent, self._asking, self._notice, inner = snapshot
        self._inner.restore(inner)

    def heard(self, text: str, complete: bool) -> None:
        """What of the last answer the caller really heard."""
        notice, self._notice = self._notice, ""
        if notice:
            step = told(self._consent, notice in text, self._language)
            self._consent = step.consent
            self._notice = step.say  # said again with the next answer
        self._inner.heard(text, complete)

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Those of the dialogue inside, and what is said first."""
        first: list[tuple[str, Tone]] = [(self._first.say, "neutral")] if self._first.say else []
        return [*first, *self._inner.fixed_phrases()]

    async def _open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncGenerator[Part, None]:
        self._began = caller, parameters
        if self._first.say:
            yield Say(self._first.say, must_hear=True)
        if self._consent.rule.mode == "ask" and self._consent.state == "waiting":
            self._asking = True
            yield Expect("yes_no", UnderstandingContext(asked_yes_no=True, language=self._language))
            return
        self._notice = self._first.say
        async with aclosing(self._greeting()) as parts:
            async for part in parts:
                yield part

    async def _greeting(self) -> AsyncGenerator[Part, None]:
        async for part in self._inner.open(*self._began):
            yield part

    async def _respond(self, turn: CallerTurn) -> AsyncGenerator[Part, None]:
        if self._asking:
            async with aclosing(self._answered(turn)) as parts:
                async for part in parts:
                    yield part
            return
        if self._notice:
            yield Say(self._notice, must_hear=True)
        if _REFUSAL.search(turn.text):
            step = answered(self._consent, False, self._language)
            self._consent = step.consent
            yield Because({"decision": "consent", "consent": self._consent.state})
            if step.say:
                yield Say(step.say)
            yield Expect("open")
            return
        async for part in self._inner.respond(turn):
            yield part

    async def _answered(self, turn: CallerTurn) -> AsyncGenerator[Part, None]:
        yes = _yes_or_no(turn)
        step: Step = answered(self._consent, yes, self._language)
        self._consent = step.consent
        yield Because({"decision": "consent", "consent": self._consent.state})
        if step.say:
            yield Say(step.say)
        if self._consent.state == "waiting":
            yield Expect("yes_no", UnderstandingContext(asked_yes_no=True, language=self._language))
            return
        self._asking = False
        async with aclosing(self._greeting()) as parts:
            async for part in parts:
                yield part
        if yes is None and turn.text.strip():  # a wish came in place of an answer
            async for part in self._inner.respond(turn):
                yield part


def _yes_or_no(turn: CallerTurn) -> bool | None:
    if turn.dtmf is not None:
        return {"1": True, "2": False}.get(turn.dtmf)
    if _REFUSAL.search(turn.text):
        return False
    return said_yes(turn.understood)


async def _nothing() -> AsyncGenerator[Part, None]:
    return
    yield
