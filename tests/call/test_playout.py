"""Pacing and the heard ledger."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.playout import MARK_PATIENCE_MS, UNTRUE_MS, Playout
from agent.gateways.base import Capabilities, Clear, Mark, Play
from audio.codec import Encoding

PHONE = Capabilities(Encoding("mulaw", 8000))
TEXT = "Your order is out for delivery today."


def sound(ms: float) -> np.ndarray:
    return np.full(int(ms * 8), 4000, dtype=np.int16)


class Line:
    """A gateway that plays what it is sent and returns marks when their audio has played."""

    def __init__(self, capabilities: Capabilities = PHONE, delay_ms: float = 0.0) -> None:
        self.playout = Playout(capabilities)
        self.now = 1000.0
        self.sent: list[tuple[float, Play | Mark | Clear]] = []
        self.delay_ms = delay_ms
        self._busy_until = 0.0
        self._marks: list[tuple[float, str]] = []

    def reply(self, *texts: tuple[str, float], generation: int = 1) -> Line:
        self.playout.begin(generation)
        for text, ms in texts:
            utterance = self.playout.utterance(generation, text)
            assert utterance is not None
            assert self.playout.add(generation, utterance, (0, len(text)), sound(ms))
        self.playout.complete(generation)
        return self

    def run(self, ms: float) -> Line:
        until = self.now + ms
        while self.now < until:
            for command in self.playout.due(self.now):
                self.take(command)
            while self._marks and self._marks[0][0] <= self.now:
                self.playout.reached(self._marks.pop(0)[1], self.now)
            self.now += 5.0
        return self

    def take(self, command: Play | Mark | Clear) -> None:
        self.sent.append((self.now, command))
        if isinstance(command, Play):
            self._busy_until = max(self._busy_until, self.now + self.delay_ms) + len(command.audio) / 8
        elif isinstance(command, Mark):
            self._marks.append((self._busy_until, command.name))
        else:
            self._busy_until = self.now
            self._marks = [(self.now, name) for _, name in self._marks]

    def played_ms(self) -> float:
        return sum(len(c.audio) for _, c in self.sent if isinstance(c, Play)) / 8


def test_audio_is_sent_in_frames_a_little_ahead_of_its_time() -> None:
    line = Line().reply((TEXT, 2000))
    line.run(1000)
    assert all(len(c.audio) == 160 for _, c in line.sent if isinstance(c, Play))
    assert 1000 <= line.played_ms() <= 1000 + PHONE.lead_ms + 20
    line.run(1500)
    assert line.played_ms() == 2000


def test_all_of_a_reply_is_heard_once_its_last_mark_is_back() -> None:
    line = Line(delay_ms=80).reply((TEXT, 1000), ("Anything else?", 600))
    line.run(1000)
    assert not line.playout.done(line.now)
    line.run(900)
    assert line.playout.done(line.now)
    assert [heard.complete for heard in line.playout.heard(line.now)] == [True, True]


def test_the_lag_of_the_line_is_measured_by_marks() -> None:
    line = Line(delay_ms=120).reply((TEXT, 3000))
    line.run(2500)
    assert 100 <= line.playout.lag_ms <= 140


@pytest.mark.parametrize(
    ("played", "heard"),
    [
        (0, []),
        (100, []),
        (250, ["Your"]),
        (1000, ["Your order is out"]),
        (1900, ["Your order is out for delivery today."]),
    ],
)
def test_heard_text_is_cut_at_a_word(played: float, heard: list[str]) -> None:
    # 37 characters in 2000 ms: a word counts from 60 % of it on.
    line = Line(replace(PHONE, marks="none")).reply((TEXT, 2000))
    line.run(played)
    assert [item.heard for item in line.playout.heard(line.now)] == heard


def test_stop_clears_and_forgets_what_never_played() -> None:
    line = Line().reply((TEXT, 2000), ("Is there anything else?", 1000))
    line.run(1000)
    assert line.playout.stop(line.now) == [Clear()]
    assert [item.heard for item in line.playout.heard(line.now + 5000)] == ["Your order is out"]
    assert line.playout.due(line.now + 5000) == []


def test_pause_stops_the_sound_and_resume_goes_on_at_the_word_that_was_cut() -> None:
    line = Line().reply((TEXT, 2000))
    line.run(1000)
    for command in line.playout.pause(line.now):
        line.take(command)
    assert line.playout.next_due(line.now) is None
    before = line.played_ms()
    line.run(1500)
    assert line.played_ms() == before
    line.playout.resume(line.now)
    line.run(2500)
    assert line.playout.done(line.now)
    replayed = before + 0.0
    assert 2000 < line.played_ms() <= replayed + 2000
    assert line.playout.heard(line.now)[0].complete


def test_marks_that_come_back_through_a_clear_prove_nothing() -> None:
    line = Line().reply((TEXT, 400), ("Is there anything else I can do?", 2000))
    line.run(280)
    for command in line.playout.pause(line.now):
        line.take(command)
    line.run(20)
    assert line.playout.stale_marks == 1
    assert [item.complete for item in line.playout.heard(line.now)] == [False]


def test_a_gateway_that_returns_marks_at_once_is_not_believed() -> None:
    playout = Playout(PHONE)
    playout.begin(1)
    utterance = playout.utterance(1, TEXT)
    playout.add(1, utterance or 0, (0, len(TEXT)), sound(600))
    playout.add(1, utterance or 0, (0, len(TEXT)), sound(1000))
    now, marks = 0.0, []
    while not marks:
        marks = [c for c in playout.due(now) if isinstance(c, Mark)]
        now += 5.0
    playout.reached(marks[0].name, now)
    assert playout.marks_true is (PHONE.lead_ms <= UNTRUE_MS)
    assert playout.untrue_marks == 1
    assert not [c for c in playout.due(now + 2000) if isinstance(c, Mark)]


def test_a_mark_that_never_comes_does_not_hold_the_call() -> None:
    playout = Playout(PHONE)
    playout.begin(1)
    playout.add(1, playout.utterance(1, TEXT) or 0, (0, len(TEXT)), sound(400))
    playout.complete(1)
    for now in range(0, 500, 5):
        playout.due(float(now))
    assert not playout.done(700.0)
    assert playout.done(400.0 + MARK_PATIENCE_MS + 10)


def test_stale_audio_is_dropped() -> None:
    playout = Playout(PHONE)
    playout.begin(1)
    playout.begin(2)
    assert playout.utterance(1, TEXT) is None
    assert not playout.add(1, 0, (0, 4), sound(100))
    playout.complete(1)
    assert not playout.done(10_000.0)


def test_a_late_producer_resynchronises_instead_of_bursting() -> None:
    line = Line()
    line.playout.begin(1)
    first = line.playout.utterance(1, TEXT) or 0
    line.playout.add(1, first, (0, len(TEXT)), sound(300))
    line.run(2000)
    line.playout.add(1, first, (0, len(TEXT)), sound(2000))
    before = line.played_ms()
    line.run(100)
    assert line.played_ms() - before <= 100 + PHONE.lead_ms + 20
    assert line.playout.resyncs == 1


def test_what_is_recorded_is_what_played() -> None:
    line = Line().reply((TEXT, 1000))
    pieces, at = 0, []
    for _ in range(40):
        line.run(25)
        played = line.playout.played(line.now)
        if played is not None:
            pieces += len(played[0])
            at.append(played[1])
    assert pieces == 8000
    assert at == sorted(at)


def test_what_must_be_heard_is_over_with_its_last_sample() -> None:
    playout = Playout(PHONE)
    playout.begin(1)
    playout.add(1, playout.utterance(1, "This call is recorded.", must_hear=True) or 0, (0, 22), sound(500))
    playout.add(1, playout.utterance(1, "How can I help?") or 0, (0, 15), sound(500))
    seen = []
    for now in range(0, 1000, 20):
        playout.due(float(now))
        seen.append(playout.must_hear(float(now)))
    assert seen[:25] == [True] * 25
    assert not any(seen[25:])


def test_an_announced_utterance_must_be_heard_before_it_is_synthesized() -> None:
    line = Line()
    line.playout.begin(1)
    line.playout.add(1, line.playout.utterance(1, "Hello.") or 0, (0, 6), sound(300))
    assert not line.playout.must_hear(line.now)
    disclosure = line.playout.utterance(1, "This call is recorded.", must_hear=True)
    line.run(600)
    assert line.playout.must_hear(line.now)
    line.playout.add(1, disclosure or 0, (0, 22), sound(500))
    line.run(300)
    assert line.playout.must_hear(line.now)
    line.run(400)
    assert not line.playout.must_hear(line.now)


def test_what_must_be_heard_lasts_until_the_line_has_played_it() -> None:
    line = Line(delay_ms=200).reply((TEXT, 3000))
    line.run(3600)
    line.playout.begin(2)
    line.playout.add(2, line.playout.utterance(2, "This call is recorded.", must_hear=True) or 0, (0, 22), sound(500))
    line.playout.add(2, line.playout.utterance(2, "How can I help?") or 0, (0, 15), sound(900))
    line.run(600)
    assert line.playout.must_hear(line.now)
    line.run(300)
    assert not line.playout.must_hear(line.now)


def test_one_late_mark_says_nothing_of_the_line() -> None:
    playout = Playout(PHONE)
    playout.begin(1)
    playout.add(1, playout.utterance(1, TEXT) or 0, (0, len(TEXT)), sound(6000))
    marks: list[tuple[float, str]] = []
    for now in range(0, 4000, 5):
        for command in playout.due(float(now)):
            if isinstance(command, Mark):
                late = 900.0 if len(marks) == 2 else 60.0
                marks.append((playout._at(playout._sent) + late, command.name))
        for at, name in sorted(marks):
            if at <= now < at + 5:
                playout.reached(name, float(now))
    assert len(marks) >= 4
    assert playout.lag_ms < 150


def test_pausing_again_before_a_word_was_said_stays_at_that_word() -> None:
    line = Line(replace(PHONE, marks="none")).reply((TEXT, 1970))
    line.run(1000)
    line.playout.pause(line.now)
    first = line.playout.position(line.now)
    for _ in range(6):
        line.playout.resume(line.now)
        line.playout.due(line.now)
        line.now += 1.0
        line.playout.pause(line.now)
    assert line.playout.position(line.now) == first


@pytest.mark.parametrize("marks", ["played", "none"])
def test_a_pause_at_the_very_end_leaves_nothing_open(marks: str) -> None:
    line = Line(replace(PHONE, marks=marks)).reply((TEXT, 1000))  # type: ignore[arg-type]
    line.run(1003)
    for command in line.playout.pause(line.now):
        line.take(command)
    assert not line.playout.done(line.now + 5000)
    line.playout.resume(line.now)
    line.run(1500)
    assert line.playout.done(line.now)
    assert [heard.complete for heard in line.playout.heard(line.now)] == [True]


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=40), st.floats(20, 900)), min_size=1, max_size=5),
    st.lists(st.sampled_from(["run", "pause", "resume", "mark", "clear_mark"]), max_size=25),
    st.floats(5, 400),
)
def test_heard_never_exceeds_what_was_sent(texts: list[tuple[str, float]], moves: list[str], ms: float) -> None:
    line = Line().reply(*texts)
    position = 0
    for move in moves:
        if move == "run":
            line.run(ms)
        elif move == "pause":
            for command in line.playout.pause(line.now):
                line.take(command)
            position = 0
        elif move == "resume":
            line.playout.resume(line.now)
        else:
            line.playout.reached("g1.9.9", line.now)
        at = line.playout.position(line.now)
        assert position <= at <= sum(int(length * 8) for _, length in texts)
        position = at
        for heard in line.playout.heard(line.now):
            assert heard.heard in heard.text
