"""The queue as a table: who is asked when, what callers hear, and how it ends."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.handoff.contracts import HandoffRequest
from agent.handoff.happening import (
    Accept,
    Announce,
    Bridged,
    CallerLeft,
    ChoseCallback,
    Command,
    Decline,
    Doors,
    Engaged,
    Enter,
    Event,
    HumanLost,
    Hush,
    Moved,
    OffDuty,
    OnDuty,
    Over,
    Ring,
    Settled,
    Taken,
    Tick,
    WrappedUp,
)
from agent.handoff.line import QueueSettings, QueueState, anger, places
from agent.handoff.machine import HandoffState as S
from agent.handoff.people import NoCapacity, QueueError, TooLate, UnknownHandoff
from agent.handoff.waiting import MOST_OVER, next_at, step

SETTINGS = QueueSettings(
    skills={"dispute": "cards"}, value_points={"fraud": 5.0}, ring_s=20.0, first_words_s=8.0, words_every_s=45.0
)


def request(handoff_id: str, **more: Any) -> HandoffRequest:
    fields: dict[str, Any] = {"caller": "+12125550123"}
    return HandoffRequest(handoff_id, f"c-{handoff_id}", "plain", "g", "asked", "asked", **(fields | more))


def enter(handoff_id: str, **more: Any) -> Enter:
    return Enter(request(handoff_id, **more))


class Queue:
    """Runs events at times; ticks on the way whenever they are due, as the desk does."""

    def __init__(self, chosen: QueueSettings = SETTINGS) -> None:
        self.settings = chosen
        self.state = QueueState()
        self.done: list[tuple[float, Command]] = []
        self.now = 0.0

    def at(self, second: float, *events: Event) -> list[Command]:
        while (due := next_at(self.state, self.settings)) is not None and due <= second * 1000.0:
            self.now = max(self.now, due)
            before = self.state
            self._step(Tick())
            assert self.state != before, f"a tick that was due at {due} did nothing"
        self.now = second * 1000.0
        first = len(self.done)
        for event in events:
            self._step(event)
        return [command for _, command in self.done[first:]]

    def _step(self, event: Event) -> None:
        self.state, commands = step(self.state, event, self.now, self.settings)
        self.done += [(self.now / 1000.0, command) for command in commands]

    def of(self, kind: type) -> list[tuple[float, Any]]:
        return [(at, command) for at, command in self.done if isinstance(command, kind)]

    def rings(self) -> list[tuple[float, str, str]]:
        return [(at, ring.who, ring.handoff_id) for at, ring in self.of(Ring)]


def test_whole_way_to_the_wrap_up() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"))
    assert Ring("h", "sam") in queue.at(1, enter("h"))
    assert queue.at(5, Accept("sam", "h")) == [
        Moved("h", (S.RINGING, S.BRIEFING), "sam"),
        Taken("h", "sam"),
        Announce("h", "coming", {"human": "sam"}),
    ]
    queue.at(6, Bridged("h"))
    assert queue.state.cases["h"].state is S.BRIDGED
    queue.at(100, Over("h", "ended"))
    assert queue.state.people["sam"].free == 0
    queue.at(130, WrappedUp("sam", "h"))
    assert queue.state.people["sam"].free == 1
    assert queue.state.lengths_ms == (125_000.0,)
    assert not queue.state.cases


@pytest.mark.parametrize(("how", "after"), [("ended", 60.0), ("handed_back", 60.0)])
def test_who_does_not_wrap_up_is_free_after_a_minute(how: Any, after: float) -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), enter("h"), Accept("sam", "h"), Bridged("h"), Over("h", how))
    queue.at(after - 1)
    assert queue.state.people["sam"].free == 0
    queue.at(after)
    assert queue.state.people["sam"].free == 1


def test_noted_before_the_end_the_person_is_free_at_the_end() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), enter("h"), Accept("sam", "h"), Bridged("h"), WrappedUp("sam", "h"))
    assert queue.state.people["sam"].free == 0
    queue.at(50, Over("h", "ended"))
    assert queue.state.people["sam"].free == 1


def test_who_does_not_answer_is_asked_again_last() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), OnDuty("bo"), OnDuty("kim"), enter("h"))
    queue.at(85)
    assert queue.rings() == [(0, "bo", "h"), (20, "kim", "h"), (40, "sam", "h"), (60, "bo", "h"), (80, "kim", "h")]
    assert [(at, hush.who) for at, hush in queue.of(Hush)] == [(20, "bo"), (40, "kim"), (60, "sam"), (80, "bo")]


def test_round_robin_among_the_fittest() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), OnDuty("b"), OnDuty("c"))
    for n in range(6):
        queue.at(n, enter(f"h{n}"))
        queue.at(n + 0.5, CallerLeft(f"h{n}"))
    assert [who for _, who, _ in queue.rings()] == ["a", "b", "c", "a", "b", "c"]


@pytest.mark.parametrize(
    ("people", "more", "asked"),
    [
        ([OnDuty("a"), OnDuty("b", ("cards",))], {"intent": "dispute"}, "b"),
        ([OnDuty("a"), OnDuty("b", ("loans",))], {"intent": "dispute"}, "a"),
        ([OnDuty("a", ("loans",))], {"intent": "dispute"}, None),
        ([OnDuty("a", ("loans",)), OnDuty("b", ("cards",))], {}, "a"),
        ([OnDuty("a"), OnDuty("b", (), ("zh",))], {"language": "zh-CN"}, "b"),
        ([OnDuty("a")], {"language": "zh"}, None),
        ([OnDuty("a", (), ("en-GB",))], {"language": "en_US"}, "a"),
        ([OnDuty("a", (), (), 4), OnDuty("b"), Engaged("a", "c-9")], {}, "b"),
        ([OnDuty("a"), Engaged("a", "c-9"), Engaged("a", "c-9", on=False)], {}, "a"),
        ([OnDuty("a"), OffDuty("a")], {}, None),
    ],
)
def test_skills_languages_capacity(people: list[Event], more: dict[str, Any], asked: str | None) -> None:
    queue = Queue()
    done = queue.at(0, *people, enter("h", **more))
    if asked is None:
        assert done == [
            Announce("h", "nobody", {"reason": "nobody", "opens_at": None}),
            Settled("h", "nobody"),
        ]
    else:
        assert [one.who for one in done if isinstance(one, Ring)] == [asked]


def test_order_by_priority_anger_value_and_wait() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), Engaged("sam", "c-0"))
    angry = [{"turn": n, "anger": a} for n, a in enumerate([0.0, 1.0, 1.0, 1.0])]
    queue.at(0, enter("plain"))
    queue.at(60, enter("later"), enter("prior", priority=2), enter("angry", emotion=angry))
    queue.at(60, enter("fraud", intent="fraud"))
    assert list(places(queue.state, SETTINGS)) == ["fraud", "angry", "prior", "plain", "later"]
    queue.at(180.0, enter("new", priority=2))  # two minutes weigh two points: who waits longer goes first
    order = list(places(queue.state, SETTINGS))
    assert order.index("plain") < order.index("new")
    assert order.index("prior") < order.index("new")


def test_anger_is_that_of_the_latest_turns() -> None:
    assert anger([{"anger": 1.0}, {"anger": 0.2}, {"anger": 0.1}, {"anger": 0.0}]) == pytest.approx(0.1)
    assert anger([{"label": "sad"}, {"anger": None}]) == 0.0


def test_who_comes_free_gets_the_first_in_line() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), enter("one"), Accept("sam", "one"), Bridged("one"))
    queue.at(10, enter("two"), enter("three", priority=1))
    assert queue.rings() == [(0, "sam", "one")]
    queue.at(30, Over("one", "ended"), WrappedUp("sam", "one"))
    assert queue.rings()[1:] == [(30, "sam", "three")]


def test_estimated_wait_is_the_formula() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), OnDuty("b"), Engaged("a", "x"), Engaged("b", "y"), enter("one"), enter("two"))
    found = places(queue.state, SETTINGS)
    assert (found["one"].position, found["one"].wait_s) == (1, 120.0)  # (1 - 0) * 240 / 2
    assert (found["two"].position, found["two"].wait_s) == (2, 240.0)
    queue.at(1, Engaged("a", "x", on=False))  # rings "one"
    found = places(queue.state, SETTINGS)
    assert (found["one"].wait_s, found["two"].wait_s) == (0.0, 120.0)


def test_positions_count_those_whom_the_same_people_serve() -> None:
    queue = Queue()
    queue.at(0, OnDuty("en"), OnDuty("zh", (), ("zh",)), Engaged("en", "x"), Engaged("zh", "y"))
    queue.at(0, enter("one"), enter("two", language="zh"), enter("three"))
    assert [place.position for place in places(queue.state, SETTINGS).values()] == [1, 1, 2]


def test_words_at_intervals_and_the_offer_of_a_call_back() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), Engaged("sam", "x"), enter("h"))
    queue.at(300)
    assert [(at, one.kind) for at, one in queue.of(Announce)] == [
        (8, "callback_offer"),
        (53, "position"),
        (98, "position"),
        (143, "position"),
        (188, "callback_offer"),
        (233, "position"),
        (278, "position"),
    ]
    assert queue.of(Announce)[0][1].values == {"position": 1, "wait_s": 240.0, "key": "1"}
    assert queue.at(301, ChoseCallback("h")) == [Settled("h", "callback")]
    with pytest.raises(TooLate):
        queue.at(302, Accept("sam", "h"))


def test_no_call_back_is_offered_to_a_caller_without_a_number() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), Engaged("sam", "x"), enter("h", caller=None))
    queue.at(300)
    assert {one.kind for _, one in queue.of(Announce)} == {"position"}


def test_longest_wait_ends() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), Engaged("sam", "x"), enter("h"))
    queue.at(700)
    assert queue.of(Settled) == [(600, Settled("h", "timed_out"))]
    assert queue.of(Announce)[-1][1] == Announce("h", "nobody", {"reason": "timed_out", "opens_at": None})


def test_two_accept_and_one_wins() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), OnDuty("bo"), enter("h"))
    done = queue.at(1, Accept("sam", "h"))  # it rings at bo's: anybody may take it
    assert Hush("h", "bo") in done
    with pytest.raises(TooLate, match="sam has taken it") as caught:
        queue.at(1, Accept("bo", "h"))
    assert (caught.value.by, caught.value.code) == ("sam", "too_late")
    assert queue.state.people["bo"].free == 1
    assert queue.at(2, Accept("sam", "h")) == []


def test_who_is_asked_may_take_another_caller_instead() -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), enter("one"), enter("two"))
    assert queue.rings() == [(0, "sam", "one")]
    done = queue.at(1, Accept("sam", "two"))
    assert Hush("one", "sam") in done
    assert (queue.state.cases["one"].state, queue.state.people["sam"].busy) == (S.QUEUED, {"two"})
    queue.at(2, OnDuty("bo"))
    assert queue.rings()[-1] == (2, "bo", "one")
    assert queue.state.cases["one"].missed == set(), "he did not leave it ringing"


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (Accept("sam", "nothing"), UnknownHandoff),
        (Decline("sam", "nothing"), UnknownHandoff),
        (HumanLost("sam", "nothing"), UnknownHandoff),
        (Accept("sam", "two"), NoCapacity),
        (Decline("bo", "one"), TooLate),
        (OnDuty("", ()), ValueError),
        (OnDuty("bo", capacity=0), ValueError),
        (OnDuty("bo", skills=("x" * 65,)), ValueError),
    ],
)
def test_what_is_refused_changes_nothing(event: Event, error: type[Exception]) -> None:
    queue = Queue()
    queue.at(0, OnDuty("sam"), enter("one"), Accept("sam", "one"), enter("two"))
    before = queue.state
    with pytest.raises(error):
        queue.at(1, event)
    assert queue.state == before


def test_who_declines_is_not_asked_again_and_if_all_do_it_is_over() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), OnDuty("b"), enter("h"))
    queue.at(1, Decline("a", "h"))
    assert queue.rings() == [(0, "a", "h"), (1, "b", "h")]
    assert queue.at(2, Decline("b", "h"))[-1] == Settled("h", "declined")
    assert queue.state.people["a"].free == queue.state.people["b"].free == 1


def test_a_call_declined_by_the_one_who_is_free_waits_for_the_other() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), OnDuty("b"), Engaged("b", "x"), enter("h"), Decline("a", "h"))
    queue.at(30)
    assert queue.rings() == [(0, "a", "h")]
    queue.at(31, Engaged("b", "x", on=False))
    assert queue.rings()[-1] == (31, "b", "h")


def test_lost_person_sends_the_caller_to_the_head_and_rings_others_at_once() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), enter("one"), Accept("a", "one"), Bridged("one"))
    queue.at(10, enter("urgent", priority=99))
    queue.at(20, OnDuty("b"))
    assert queue.rings()[-1] == (20, "b", "urgent")
    queue.at(21, Decline("b", "urgent"))
    done = queue.at(30, HumanLost("a", "one"))
    assert done == [
        Moved("one", (S.HUMAN_DROPPED, S.QUEUED), "a was lost"),
        Moved("one", (S.RINGING,), "b"),
        Ring("one", "b"),
        Moved("urgent", (S.RINGING,), "a"),
        Ring("urgent", "a"),
    ]
    assert next(iter(places(queue.state, SETTINGS))) == "one"


def test_a_lost_caller_waits_a_little_for_somebody_to_come() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), enter("h"), Accept("a", "h"), Bridged("h"))
    queue.at(5, OffDuty("a"), HumanLost("a", "h"))
    assert "a" not in queue.state.people
    queue.at(15, OnDuty("a"))
    assert queue.rings()[-1] == (15, "a", "h")
    queue.at(16, OffDuty("a"))
    queue.at(60)
    assert queue.of(Settled) == [(25, Settled("h", "nobody"))]


def test_off_duty_stops_the_ringing_and_keeps_the_calls() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a", capacity=2), enter("one"), Accept("a", "one"), OnDuty("b"))
    queue.at(1, enter("two"))
    assert queue.rings()[-1] == (1, "b", "two")
    queue.at(2, OffDuty("b"))
    assert queue.rings()[-1] == (2, "a", "two")
    queue.at(3, OffDuty("a"))
    assert queue.of(Settled) == [(3, Settled("two", "nobody"))]
    assert queue.state.people["a"].busy == {"one"}


def test_closed_doors_and_a_full_queue() -> None:
    queue = Queue(QueueSettings(most_waiting=1))
    queue.at(0, OnDuty("a"), Engaged("a", "x"), enter("one"), enter("two"))
    assert queue.of(Settled) == [(0, Settled("two", "full"))]
    queue.at(1, Doors(False, "2031-05-02T09:00:00+00:00"), enter("three"))
    assert queue.of(Settled)[-1] == (1, Settled("three", "closed"))
    assert queue.of(Announce)[-1][1].values == {"reason": "closed", "opens_at": "2031-05-02T09:00:00+00:00"}
    queue.at(2, Engaged("a", "x", on=False))  # who waits when the doors close is still served
    assert queue.rings() == [(2, "a", "one")]


@pytest.mark.parametrize("stage", ["queued", "ringing", "briefing", "bridged"])
def test_caller_leaves(stage: str) -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"))
    if stage == "queued":
        queue.at(0, Engaged("a", "x"))
    queue.at(0, enter("h"))
    if stage in ("briefing", "bridged"):
        queue.at(1, Accept("a", "h"))
    if stage == "bridged":
        queue.at(2, Bridged("h"))
    queue.at(3, CallerLeft("h"))
    queue.at(100)
    assert not queue.state.cases
    assert "h" not in queue.state.people["a"].busy
    assert bool(queue.of(Settled)) == (stage in ("queued", "ringing"))
    assert queue.at(101, CallerLeft("h")) == []


def test_who_is_not_on_duty_may_take_a_call_and_then_is_there_for_it_alone() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), Engaged("a", "x"), enter("h"), Accept("boss", "h"), Engaged("chief", "c-9"))
    assert [one.who for one in queue.state.people.values() if not one.on_duty] == ["boss", "chief"]
    queue.at(1, OnDuty("boss", ("cards",)))
    assert queue.state.people["boss"].busy == {"h"}
    queue.at(2, OffDuty("boss"), Engaged("chief", "c-9", on=False), Bridged("h"), Over("h", "ended"))
    queue.at(100, OffDuty("nobody"), Engaged("nobody", "x", on=False))
    assert set(queue.state.people) == {"a"}


def test_asked_twice_is_in_the_line_once_and_a_failed_transfer_frees_the_person() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), enter("h"), enter("h"), Decline("b", "h"))
    assert queue.rings() == [(0, "a", "h")]
    queue.at(1, Accept("a", "h"), HumanLost("b", "h"), Over("h", "failed"), Over("h", "failed"))
    assert queue.state.people["a"].free == 1
    assert not queue.state.cases


def test_declined_by_who_is_there_and_left_by_who_was_not_asked() -> None:
    queue = Queue()
    queue.at(0, OnDuty("a"), OnDuty("b"), Engaged("b", "x"), enter("h"), Decline("a", "h"), OffDuty("b"))
    assert queue.of(Settled) == [(0, Settled("h", "declined"))]


def test_only_the_latest_are_remembered() -> None:
    queue = Queue()
    for n in range(MOST_OVER + 1):
        queue.at(0, enter(f"h{n}"))
    assert len(queue.state.over) == MOST_OVER
    with pytest.raises(UnknownHandoff):
        queue.at(0, Accept("a", "h0"))


@pytest.mark.parametrize(
    "given_",
    [{"ring_s": 0.5}, {"words_every_s": 0}, {"most_wait_s": float("nan")}, {"most_waiting": 0}, {"callback_key": "12"}],
)
def test_settings_that_would_stall_the_queue_are_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given_))):
        QueueSettings(**given_)


WHO, ID = st.sampled_from("ab"), st.sampled_from(["h1", "h2", "h3"])
EVENTS = st.one_of(
    st.builds(enter, ID),
    st.builds(OnDuty, WHO, capacity=st.integers(1, 2)),
    st.builds(OffDuty, WHO),
    st.builds(Accept, WHO, ID),
    st.builds(Decline, WHO, ID),
    st.builds(CallerLeft, ID),
    st.builds(ChoseCallback, ID),
    st.builds(Bridged, ID),
    st.builds(Over, ID, st.sampled_from(["ended", "handed_back", "failed"])),
    st.builds(HumanLost, WHO, ID),
    st.builds(WrappedUp, WHO, ID),
    st.builds(Doors, st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), EVENTS), max_size=30))
def test_whatever_happens_nobody_is_overbooked_forgotten_or_asked_twice(told: list[tuple[int, Event]]) -> None:
    queue, now = Queue(), 0.0
    for wait, event in told:
        now += wait
        with suppress(QueueError):
            queue.at(now, event)
        state = queue.state
        held = [name for person in state.people.values() for name in person.busy]
        assert len(held) == len(set(held))
        for person in state.people.values():
            assert len(person.busy) <= 2
        for case in state.cases.values():
            holder = case.rung if case.state is S.RINGING else case.human
            assert (case.state is S.QUEUED) == (holder is None)
            assert holder is None or case.handoff_id in state.people[holder].busy
    queue.at(now + 10_000)
    assert all(case.state in (S.BRIEFING, S.BRIDGED) for case in queue.state.cases.values())
