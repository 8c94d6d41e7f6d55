"""One answer as it is given: suited to the caller's mood, and known to `heard` from the moment it is planned."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from agent.dialogue.contracts import Acted, Because, Expect, Part, Say
from agent.dialogue.emotion import TurnFacts, facts_of, shape
from agent.dialogue.instructing import Instruction
from agent.dialogue.ongoing import Ongoing
from agent.dialogue.text import render, sentences
from agent.dialogue.writing.contracts import Passage


class Telling:
    """The answer to one turn: its reasons, and what of it was given so far.

    asked: instructions of a person at a console that a language model is to follow in it. sections: those whose words
    it has, where that is so.
    """

    def __init__(self, ongoing: Ongoing, facts: dict[str, Any]) -> None:
        self._ongoing = ongoing
        self._acted = len(ongoing.acting.done)
        self._began = False
        self.facts = facts
        self.asked: list[Instruction] = []
        self.sections: list[Passage] = []

    @property
    def acted(self) -> list[Acted]:
        """Actions that ran for this answer."""
        return self._ongoing.acting.done[self._acted :]

    def planned(self, parts: list[Part], *, more: bool = False) -> list[Part]:
        """`parts` as they will be given; `more` says that other pieces of the answer follow.

        The whole batch is noted before its first part is given, since a barge-in may stop the giving anywhere.
        """
        on, state, given = self._ongoing, self._ongoing.state, list[Part]()
        said = any(isinstance(part, Say) for part in parts)
        facts = facts_of(parts, self.acted, state.failures) if said else TurnFacts()
        for part in shape(parts, state.feelings, on.here.emotion, state.turn, facts, state.pace, more=more):
            if isinstance(part, Expect):
                state.reply.expect = part
            if isinstance(part, Say):
                if not self._began:
                    self._began = True
                    state.reply.says = []
                    given.append(Because(dict(self.facts)))
                part = on.spoken(part)
                state.reply.says.append(part)
                state.reply.unheard = ""
            given.append(part)
        return given

    def says(self, text: str, *, more: bool = False) -> list[Part]:
        """The sentences of `text`, planned."""
        return self.planned([Say(sentence) for sentence in sentences(text)], more=more)

    async def with_late(self, late: Sequence[Acted], reply: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
        """What earlier actions did, before this turn's answer, unless this turn tells it itself."""
        on = self._ongoing
        async with aclosing(reply) as stream:
            parts = [part async for part in stream]
        told = {part.idempotency_key for part in parts if isinstance(part, Acted)}
        news: list[Say] = []
        manner = on.here.domain.manner
        for acted in late:
            if acted.idempotency_key in told:
                continue
            if acted not in on.acting.done:
                on.acting.done.append(acted)
            yield acted
            text = manner.actions[acted.name].late
            if acted.ok and text:
                scope = {
                    "today": on.today, "business": manner.business, "language": manner.language,
                    "result": acted.result,
                }  # fmt: skip
                said = sentences(render(text, scope | dict(acted.arguments)))
                news += [on.spoken(Say(sentence)) for sentence in said]
        self.facts["late"] = [acted.name for acted in late]
        on.state.reply.says[:0] = news
        for part in (*news, *parts):
            yield part
