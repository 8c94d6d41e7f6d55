"""The states of a handoff and the moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class HandoffState(StrEnum):
    """Where a handoff stands."""

    OFFERED = "offered"
    """The caller was told that a person will take over."""
    QUEUED = "queued"
    """Written down, waiting for somebody."""
    RINGING = "ringing"
    """Somebody was asked."""
    BRIEFING = "briefing"
    """Somebody said yes and has the context; the caller is on the way."""
    BRIDGED = "bridged"
    """Caller and person talk."""
    HUMAN_DROPPED = "human_dropped"
    """The person's line broke; the caller is still there."""
    HANDED_BACK = "handed_back"
    """The person gave the call back to the agent."""
    ENDED = "ended"
    """It is over."""
    WRAPPED_UP = "wrapped_up"
    """The person has noted how it went."""
    DECLINED = "declined"
    """Whoever was asked said no."""
    TIMED_OUT = "timed_out"
    """Nobody answered in time."""
    CALLER_LEFT = "caller_left"
    """The caller hung up first."""
    UNAVAILABLE = "unavailable"
    """Nobody can be asked, or the way there is broken."""
    CALLBACK = "callback"
    """Somebody should call back."""
    CALLING_BACK = "calling_back"
    """Somebody has taken it upon himself to call back."""


class IllegalMove(Exception):
    """A handoff cannot go from this state to that one."""


_S = HandoffState
_EXITS = frozenset({_S.TIMED_OUT, _S.CALLER_LEFT, _S.UNAVAILABLE, _S.CALLBACK})

MOVES: Mapping[HandoffState, frozenset[HandoffState]] = {
    _S.OFFERED: _EXITS | {_S.QUEUED},
    _S.QUEUED: _EXITS | {_S.RINGING},
    _S.RINGING: _EXITS | {_S.QUEUED, _S.BRIEFING, _S.DECLINED},
    _S.BRIEFING: _EXITS | {_S.BRIDGED, _S.DECLINED, _S.HUMAN_DROPPED},
    _S.BRIDGED: frozenset({_S.HANDED_BACK, _S.ENDED, _S.HUMAN_DROPPED}),
    _S.HUMAN_DROPPED: _EXITS | {_S.QUEUED},
    _S.HANDED_BACK: frozenset({_S.WRAPPED_UP}),
    _S.ENDED: frozenset({_S.WRAPPED_UP}),
    _S.WRAPPED_UP: frozenset(),
    _S.DECLINED: frozenset({_S.CALLBACK}),
    _S.TIMED_OUT: frozenset({_S.CALLBACK}),
    _S.UNAVAILABLE: frozenset({_S.CALLBACK}),
    _S.CALLER_LEFT: frozenset({_S.CALLBACK}),
    _S.CALLBACK: frozenset({_S.CALLING_BACK, _S.ENDED}),
    _S.CALLING_BACK: frozenset({_S.CALLBACK, _S.ENDED}),
}

WAITING = frozenset({_S.OFFERED, _S.QUEUED, _S.RINGING, _S.BRIEFING, _S.HUMAN_DROPPED})
"""States in which the caller is on the line and waits for a person."""


def move(state: HandoffState, to: HandoffState) -> HandoffState:
    """The state after a move, which is `to`.

    Raises:
        IllegalMove: `to` cannot follow `state`; the message lists what can.
    """
    if to not in MOVES[state]:
        possible = ", ".join(sorted(MOVES[state])) or "nothing: the handoff is over"
        raise IllegalMove(f"a handoff cannot go from {state} to {to}; possible: {possible}")
    return to
