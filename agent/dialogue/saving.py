"""A call's dialogue state as JSON and back, and keeping it for a caller whose line dropped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from agent.clock import Clock
from agent.dialogue.feelings import Feelings
from agent.dialogue.state import CallState, Reply

RESUME_S = 300.0
"""How long after a dropped line the same caller is offered to go on."""
MOST_KEPT = 1_000
"""Dropped calls that are remembered; the oldest goes first."""
_FORM: TypeAdapter[CallState] = TypeAdapter(CallState)


class StateError(ValueError):
    """A saved state that cannot be read; it belongs to another version or is damaged."""


def to_json(state: CallState) -> str:
    """The state as JSON text."""
    return _FORM.dump_json(state).decode()


def from_json(text: str) -> CallState:
    """The state that `to_json` wrote.

    Raises:
        StateError: it is no such text.
    """
    try:
        return _FORM.validate_json(text)
    except (ValidationError, ValueError) as error:
        raise StateError(f"a saved dialogue cannot be read: {str(error).splitlines()[0]}; begin a new one") from error


def worth_keeping(state: CallState) -> bool:
    """Whether a task was left open by a caller whose line dropped."""
    return bool(state.frames) and not state.closed and state.handed_off is None


def taken_up(state: CallState, identity: str = "", proof: Collection[str] = ()) -> CallState:
    """The state with which a new call goes on: the tasks and values, without secrets; who the caller is must be proven
    again before a task goes on for which it was.

    Args:
        identity: the flow that proves it, which is begun anew. proof: the slots it asks for, which are asked for again.
    """
    proven = state.customer is not None
    withheld = {*state.sensitive, *proof}
    return CallState(
        frames=[replace(one, proven=one.proven or proven) for one in state.frames if one.flow != identity],
        done=[replace(frame, results={}) for frame in state.done] if proven else state.done,
        slots={name: known for name, known in state.slots.items() if name not in withheld},
        earlier={name: values for name, values in state.earlier.items() if name not in withheld},
        consents=state.consents,
        wishes=state.wishes,
        feelings=Feelings(),
        reply=Reply(),
        pace=state.pace,
        gain_db=state.gain_db,
        language=state.language,
        topic=state.topic,
        no_offers=state.no_offers,
    )


class Keeper(Protocol):
    """Keeps states of dropped calls by caller."""

    async def keep(self, domain: str, caller: str, state: str) -> None:
        """Remember the state of a caller whose line dropped."""
        ...

    async def take(self, domain: str, caller: str) -> str | None:
        """The state kept within `RESUME_S`, and forget it."""
        ...


class MemoryKeeper:
    """Keeps states in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    async def keep(self, domain: str, caller: str, state: str) -> None:
        """Remember the state of a caller whose line dropped."""
        self._kept.pop((domain, caller), None)
        self._kept[domain, caller] = (self._clock.now_ms(), state)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    async def take(self, domain: str, caller: str) -> str | None:
        """The state kept within `RESUME_S`, and forget it."""
        kept = self._kept.pop((domain, caller), None)
        if kept is None or self._clock.now_ms() - kept[0] > RESUME_S * 1000.0:
            return None
        return kept[1]
