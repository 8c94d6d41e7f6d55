from itertools import pairwise

import pytest

from agent.handoff.machine import MOVES, WAITING, HandoffState, IllegalMove, move

PATHS = [
    "offered queued ringing briefing bridged handed_back",
    "offered queued ringing briefing bridged ended",
    "offered queued ringing declined callback ended",
    "offered queued ringing timed_out callback",
    "offered queued caller_left callback",
    "offered unavailable callback ended",
    "offered queued ringing briefing unavailable callback",
    "offered queued ringing briefing caller_left",
    "offered queued ringing queued ringing briefing bridged ended wrapped_up",
    "offered queued ringing briefing bridged human_dropped queued ringing briefing bridged handed_back wrapped_up",
    "offered queued ringing briefing human_dropped unavailable callback",
    "offered queued callback calling_back callback calling_back ended",
]

ILLEGAL = [
    ("offered", "bridged"),
    ("queued", "briefing"),
    ("queued", "declined"),
    ("ringing", "bridged"),
    ("bridged", "queued"),
    ("bridged", "caller_left"),
    ("ended", "callback"),
    ("handed_back", "bridged"),
    ("caller_left", "briefing"),
    ("declined", "bridged"),
    ("offered", "offered"),
    ("bridged", "wrapped_up"),
    ("wrapped_up", "bridged"),
    ("queued", "human_dropped"),
    ("callback", "ringing"),
]


@pytest.mark.parametrize("path", PATHS)
def test_paths(path: str) -> None:
    states = [HandoffState(name) for name in path.split()]
    for state, to in pairwise(states):
        assert move(state, to) is to


@pytest.mark.parametrize(("state", "to"), ILLEGAL)
def test_illegal_moves_say_what_is_possible(state: str, to: str) -> None:
    with pytest.raises(IllegalMove, match=f"from {state} to {to}; possible: ") as caught:
        move(HandoffState(state), HandoffState(to))
    for possible in MOVES[HandoffState(state)]:
        assert possible in str(caught.value)


def test_every_state_has_its_moves_and_every_waiting_caller_can_leave() -> None:
    assert set(MOVES) == set(HandoffState)
    assert all(HandoffState.CALLER_LEFT in MOVES[state] for state in WAITING)
    reachable, front = {HandoffState.OFFERED}, [HandoffState.OFFERED]
    while front:
        front = [to for state in front for to in MOVES[state] if to not in reachable]
        reachable.update(front)
    assert reachable == set(HandoffState)
