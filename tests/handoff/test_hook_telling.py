from dataclasses import replace

import pytest
from handoff_receiver import VirtualClock
from hook_desk import REQUEST

from agent.handoff.contracts import HandoffResult
from agent.handoff.hooks import telling
from agent.handoff.hooks.events import HandoffEvent
from agent.handoff.hooks.telling import Teller


class Ears:
    def __init__(self) -> None:
        self.told: list[HandoffEvent] = []

    def tell_now(self, event: HandoffEvent) -> None:
        self.told.append(event)

    @property
    def steps(self) -> list[tuple[str, str]]:
        return [(one.step, one.detail) for one in self.told]


def test_a_call_that_somebody_takes_and_gives_back(clock: VirtualClock) -> None:
    ears = Ears()
    teller = Teller(ears, clock)
    teller.queued(REQUEST)
    clock.ms = 5000
    teller.result("h-1", HandoffResult("accepted", detail="robin", human="robin"))
    teller.finished("h-1", "bridged")
    teller.finished("h-1", "handed_back")
    teller.finished("h-1", "ended")  # it was over
    assert ears.steps == [
        ("queued", ""), ("accepted", "robin"), ("bridged", ""), ("ended", "the agent has the call again"),
    ]  # fmt: skip
    assert [one.human for one in ears.told] == [None, "robin", "robin", "robin"]
    assert (ears.told[1].at - ears.told[0].at).total_seconds() == 5


def test_a_person_who_is_lost_is_forgotten(clock: VirtualClock) -> None:
    ears = Ears()
    teller = Teller(ears, clock)
    teller.queued(REQUEST)
    teller.result("h-1", HandoffResult("accepted", human="robin"))
    clock.ms = 10
    teller.queued(REQUEST)
    assert [one.human for one in ears.told] == [None, "robin", None]
    assert ears.told[0].event_id != ears.told[2].event_id


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (HandoffResult("unavailable", detail="nobody is on duty"), "callback"),
        (HandoffResult("failed", detail="webhook timeout"), "callback"),
        (HandoffResult("declined", detail="lunch"), "ended"),
        (HandoffResult("unavailable", detail="the caller left"), "ended"),
    ],
)
def test_nobody_takes_the_call(clock: VirtualClock, result: HandoffResult, told: str) -> None:
    ears = Ears()
    teller = Teller(ears, clock)
    teller.queued(REQUEST)
    teller.result("h-1", result)
    teller.caller_left("h-1")  # later: told of already
    assert ears.steps == [("queued", ""), (told, result.detail)]


def test_transfers_that_fail_callers_who_leave_and_strangers(clock: VirtualClock) -> None:
    ears = Ears()
    teller = Teller(ears, clock)
    teller.queued(REQUEST)
    teller.result("h-1", HandoffResult("accepted", "+12125550100"))
    teller.finished("h-1", "transfer_failed")
    teller.queued(replace(REQUEST, handoff_id="h-2"))
    teller.caller_left("h-2")
    teller.finished("h-9", "bridged")
    assert ears.steps[2:] == [("callback", "the transfer failed"), ("queued", ""), ("ended", "the caller left")]
    assert ears.told[2].transfer_to == "+12125550100"


def test_only_the_latest_handoffs_are_remembered(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "REMEMBERED", 2)
    ears = Ears()
    teller = Teller(ears, clock)
    for number in range(3):
        teller.queued(replace(REQUEST, handoff_id=f"h-{number}"))
    for number in range(3):
        teller.finished(f"h-{number}", "bridged")
    assert [one.request.handoff_id for one in ears.told[3:]] == ["h-1", "h-2"]
