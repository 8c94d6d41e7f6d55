"""A dialogue around another: what it does not change goes to the one inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from agent.dialogue.contracts import Acted, Acts, CallerTurn, Dialogue, HandoffOutcome, Part, Tool
from models.contracts import Tone, UnderstandingContext, Understood


class AroundDialogue:
    """Implements `agent.dialogue.contracts.Dialogue` by the dialogue inside; subclasses change what they are for."""

    def __init__(self, inner: Dialogue) -> None:
        self._inner = inner

    @property
    def context(self) -> UnderstandingContext:
        """What is waited for now."""
        return self._inner.context

    @property
    def sensitive(self) -> bool:
        """Whether what is waited for is neither recorded nor shown."""
        return self._inner.sensitive

    @property
    def may_record(self) -> bool:
        """Whether sound may be kept now."""
        return self._inner.may_record

    def use_tools(self, tools: Mapping[str, Tool]) -> None:
        """As the dialogue inside."""
        self._inner.use_tools(tools)

    async def over(self) -> None:
        """As the dialogue inside."""
        await self._inner.over()

    def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        """As the dialogue inside."""
        return self._inner.open(caller, parameters)

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """As the dialogue inside."""
        return self._inner.respond(turn)

    def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """As the dialogue inside."""
        return self._inner.preview(turn)

    def handoff_outcome(self, outcome: HandoffOutcome, detail: str = "") -> AsyncIterator[Part]:
        """As the dialogue inside."""
        return self._inner.handoff_outcome(outcome, detail)

    def apology(self) -> AsyncIterator[Part]:
        """As the dialogue inside."""
        return self._inner.apology()

    def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
        """As the dialogue inside."""
        self._inner.overheard(speaker, text, understood)

    def handed_back(self, who: str, note: str) -> AsyncIterator[Part]:
        """As the dialogue inside."""
        return self._inner.handed_back(who, note)

    def instruct(self, text: str) -> str:
        """As the dialogue inside."""
        return self._inner.instruct(text)

    def runnable(self) -> list[dict[str, Any]]:
        """As the dialogue inside."""
        return self._inner.runnable() if isinstance(self._inner, Acts) else []

    async def act(self, name: str, arguments: Mapping[str, Any]) -> Acted:
        """As the dialogue inside.

        Raises:
            ValueError: there is no such action, or the arguments are not its own.
        """
        if not isinstance(self._inner, Acts):
            raise ValueError(f"there is no action {name[:40]!r} in this call")
        return await self._inner.act(name, arguments)

    def snapshot(self) -> Any:
        """As the dialogue inside."""
        return self._inner.snapshot()

    def restore(self, snapshot: Any) -> None:
        """As the dialogue inside."""
        self._inner.restore(snapshot)

    def heard(self, text: str, complete: bool) -> None:
        """As the dialogue inside."""
        self._inner.heard(text, complete)

    def summary(self) -> Mapping[str, Any]:
        """As the dialogue inside."""
        return self._inner.summary()

    async def told(self) -> Mapping[str, Any]:
        """As the dialogue inside."""
        return await self._inner.told()

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """As the dialogue inside."""
        return self._inner.fixed_phrases()
