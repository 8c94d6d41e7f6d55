"""Calls to a small library: the real dialogue on a domain of this folder, with turns understood as a test says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conversation import Answer, Conversation, Desk, gather
from library import Library

from agent.dialogue.contracts import CallerTurn
from models.contracts import Said, Slot, Understood

JOE = "+12065550142"


class Call(Conversation):
    """A call in progress; `wishes` and whole `Slot`s may be given besides what `Conversation.say` takes."""

    library: Library

    def turn(self, text: str, intent: str, confidence: float = 0.95, **more: Any) -> CallerTurn:
        exact: tuple[Slot, ...] = more.pop("exact", ())
        wishes: list[tuple[str, str]] = more.pop("wishes", [])
        others: list[Understood] = more.pop("others", [])
        ranking: list[tuple[str, float]] = more.pop("ranking", [])
        language: str = more.pop("language", "")
        turn = super().turn(text, intent, confidence, **more)
        meant = replace(
            turn.understood,
            slots=(*turn.understood.slots, *exact),
            wishes=tuple(Said(name, 0.9, words, text.index(words)) for name, words in wishes),
            ranking=tuple(ranking) or turn.understood.ranking,
        )
        return replace(turn, understood=meant, others=tuple(others), language=language)

    async def yes(self) -> Answer:
        return await self.say("yes please", "affirm", yes_no=True)

    async def no(self) -> Answer:
        return await self.say("no", "deny", yes_no=False)

    async def prove(self) -> Answer:
        """Answer the questions of the identity flow."""
        await self.say("112233", "give_information", card="112233")
        return await self.say("9876", "give_information", pin="9876")

    async def greet(self) -> Answer:
        return await gather(self.call.open(None, {}))

    @property
    def state(self) -> Any:
        return self.call.snapshot().state


class Counter(Desk):
    """The engine on the library."""

    @property
    def library(self) -> Library:
        database = self.actions._database
        assert isinstance(database, Library)
        return database

    def ring(self, caller: str | None = JOE, call_id: str = "call-1") -> Call:
        call = Call(self.engine.new_call(call_id, caller), self.clock)
        call.library = self.library
        return call
