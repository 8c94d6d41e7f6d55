"""The floor, as tables of events and commands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call import floor
from agent.call.floor import (
    AgentTurn,
    Commit,
    DropSpeculation,
    DropTurn,
    EndCall,
    Entered,
    Expecting,
    FloorSettings,
    FloorState,
    Frame,
    GiveUp,
    Guess,
    GuessFailed,
    Interrupt,
    Key,
    MustHear,
    OpenTurn,
    Pause,
    Phase,
    Prompt,
    ReplyAudible,
    ReplyDone,
    ReplyStopped,
    Resume,
    Retract,
    Speculate,
    StartTransfer,
    Tick,
    TransferEnded,
    deadline,
    may_speak,
    step,
    wait_ms,
)

SETTINGS = FloorSettings()


class Table:
    """Drives the floor frame by frame and keeps what it commanded, with times."""

    def __init__(self, state: FloorState | None = None, settings: FloorSettings = SETTINGS) -> None:
        self.settings = settings
        self.state = state or FloorState()
        self.now = 0.0
        self.log: list[tuple[float, floor.Command]] = []

    def send(self, event: floor.Event) -> list[floor.Command]:
        self.state, commands = step(self.state, event, self.now, self.settings)
        self.log += [(self.now, command) for command in commands]
        return commands

    def frames(self, ms: float, voiced: bool) -> list[floor.Command]:
        found: list[floor.Command] = []
        for _ in range(round(ms / floor.FRAME_MS)):
            self.now += floor.FRAME_MS
            found += self.send(Frame(voiced))
        return found

    def say(self, ms: float) -> list[floor.Command]:
        return self.frames(ms, True)

    def quiet(self, ms: float) -> list[floor.Command]:
        return self.frames(ms, False)

    def speaking(self) -> Table:
        """The agent speaks, past its guard."""
        self.send(AgentTurn())
        self.send(ReplyAudible(self.state.generation))
        self.quiet(SETTINGS.guard_ms + 100)
        return self

    def kinds(self) -> list[type]:
        return [type(command) for _, command in self.log]


def guess(table: Table, over: float, words: int = 4, claim: bool = True) -> list[floor.Command]:
    return table.send(Guess(table.state.revision, over, words, claim))


def test_a_click_opens_no_turn() -> None:
    table = Table()
    assert table.say(64) == []
    assert table.quiet(1000) == []
    assert table.state.phase is Phase.LISTENING


def test_a_finished_sentence_is_answered_after_the_short_wait() -> None:
    table = Table()
    assert table.say(900) == [OpenTurn()]
    said = table.now
    assert table.quiet(192) == [Speculate(table.state.revision)]
    assert guess(table, 0.95) == []
    commands = table.quiet(600)
    assert [type(command) for command in commands] == [Commit]
    waited = table.log[-1][0] - said
    assert (
        wait_ms(FloorState(guess=0.95), SETTINGS) <= waited < wait_ms(FloorState(guess=0.95), SETTINGS) + floor.FRAME_MS
    )
    assert table.state.phase is Phase.THINKING
    assert table.state.generation == 1


@pytest.mark.parametrize(
    ("over", "profile", "expected"),
    [
        (0.97, "open", 300),
        (0.97, "yes_no", 300),
        (0.97, "digits", 300),
        (0.93, "open", 300),
        (0.89, "open", 565),
        (0.85, "open", 830),
        (0.85, "digits", 830),
        (0.2, "open", 850),
        (0.525, "open", 840),
        (0.2, "digits", 1900),
        (0.1, "open", 1500),
        (0.1, "digits", 1900),
        (0.1, "email", 1900),
        (None, "open", 4500),
    ],
)
def test_the_wait_follows_words_and_question(over: float | None, profile: floor.Profile, expected: float) -> None:
    assert wait_ms(FloorState(guess=over, profile=profile), SETTINGS) == pytest.approx(expected)


def test_an_answer_to_a_yes_no_question_is_taken_sooner() -> None:
    assert wait_ms(FloorState(guess=0.85, answered=True), SETTINGS) == pytest.approx(498)
    assert wait_ms(FloorState(guess=0.2, answered=True), SETTINGS) == pytest.approx(850)


def test_a_caller_who_pauses_long_is_waited_for_longer() -> None:
    hasty, slow = FloorState(guess=0.1, pause_ms=100), FloorState(guess=0.1, pause_ms=1500)
    assert wait_ms(hasty, SETTINGS) == pytest.approx(1500)
    assert wait_ms(slow, SETTINGS) == pytest.approx(2100)


@pytest.mark.parametrize(("over", "expected"), [(0.97, 390), (0.85, 1079), (0.2, 1105), (0.1, 1500)])
def test_a_caller_who_went_on_after_an_answer_began_is_given_more_time(over: float, expected: float) -> None:
    assert wait_ms(FloorState(guess=over, broken=2), SETTINGS) == pytest.approx(expected)


def test_without_speculation_recognition_starts_after_the_wait_and_the_answer_follows_at_once() -> None:
    table = Table(settings=SETTINGS.model_copy(update={"speculate": "off"}))
    table.say(800)
    assert table.quiet(SETTINGS.wait_middle_ms - floor.FRAME_MS) == []
    assert table.quiet(2 * floor.FRAME_MS) == [Speculate(table.state.revision)]
    assert [type(command) for command in guess(table, 0.95)] == [Commit]


def test_words_over_the_agent_are_recognized_soon_whatever_is_speculated() -> None:
    table = Table(settings=SETTINGS.model_copy(update={"speculate": "off"})).speaking()
    table.say(320)
    assert table.quiet(480) == [Speculate(table.state.revision)]


@pytest.mark.parametrize("pause", [256, 448, 704])
def test_a_pause_inside_an_unfinished_sentence_commits_nothing(pause: float) -> None:
    table = Table()
    table.say(800)
    table.quiet(192)
    guess(table, 0.2)
    table.quiet(pause - 192)
    table.say(600)
    assert Commit not in table.kinds()
    assert DropSpeculation in table.kinds()
    table.quiet(192)
    guess(table, 0.95)
    table.quiet(SETTINGS.wait_high_ms)
    assert table.kinds().count(Commit) == 1


def test_digits_dictated_with_pauses_of_a_second_and_a_half_are_one_turn() -> None:
    table = Table()
    table.send(Expecting("digits"))
    for digit in range(5):
        table.say(320)
        table.quiet(192)
        guess(table, 0.95 if digit == 4 else 0.15, words=digit + 1)
        if digit < 4:
            table.quiet(1504 - 192)
    table.quiet(SETTINGS.wait_high_ms)
    assert table.kinds().count(Commit) == 1


def test_a_late_guess_commits_at_once_when_its_wait_is_over() -> None:
    table = Table()
    table.say(800)
    table.quiet(SETTINGS.wait_high_ms + 64)
    assert [type(command) for command in guess(table, 0.95)] == [Commit]


def test_a_guess_about_an_older_revision_is_void() -> None:
    table = Table()
    table.say(800)
    table.quiet(192)
    old = table.state.revision
    table.say(300)
    table.quiet(192)
    assert table.send(Guess(old, 0.99, 3, True)) == []
    assert table.state.guess is None


def test_noise_without_words_is_dropped() -> None:
    table = Table()
    table.say(400)
    table.quiet(192)
    assert guess(table, 0.0, words=0) == [DropTurn()]
    assert table.quiet(2000) == []


def test_a_turn_is_taken_back_when_the_caller_goes_on_before_the_reply_sounds() -> None:
    table = Table()
    table.say(800)
    table.quiet(192)
    guess(table, 0.9)
    table.quiet(SETTINGS.wait_high_ms)
    assert table.state.phase is Phase.THINKING
    generation = table.state.generation
    commands = table.say(320)
    assert commands == [OpenTurn(), Retract(generation)]
    assert table.state.phase is Phase.LISTENING
    assert not may_speak(table.state, generation)


def test_barge_in_pauses_then_interrupts_on_words() -> None:
    table = Table().speaking()
    generation = table.state.generation
    commands = table.say(320)
    assert commands == [OpenTurn(), Pause()]
    assert table.state.phase is Phase.YIELDING
    assert table.quiet(480) == [Speculate(table.state.revision)]
    assert guess(table, 0.9) == [Interrupt(generation)]
    assert table.state.phase is Phase.INTERRUPTED
    assert not may_speak(table.state, generation)
    table.send(ReplyStopped())
    assert table.state.phase is Phase.LISTENING
    assert Commit in [type(command) for command in table.quiet(SETTINGS.wait_high_ms)]


def test_barge_in_is_fast() -> None:
    table = Table().speaking()
    began = table.now
    table.say(600)
    paused = next(at for at, command in table.log if isinstance(command, Pause))
    assert paused - began <= 256


def test_a_caller_who_goes_on_as_a_reply_begins_continues_the_turn() -> None:
    table = Table()
    table.say(800)
    table.quiet(192)
    guess(table, 0.9)
    table.quiet(SETTINGS.wait_high_ms)
    table.send(ReplyAudible(table.state.generation))
    table.quiet(160)
    assert [command for command in table.say(1000) if isinstance(command, Interrupt)] == [Interrupt(1, continues=True)]
    assert not table.state.speculated
    table.send(ReplyStopped())
    assert Speculate in [type(command) for command in table.quiet(192)]


def test_continuous_speech_is_recognized_while_it_goes_on_and_its_words_interrupt() -> None:
    table = Table().speaking()
    generation = table.state.generation
    commands = table.say(800)
    assert commands == [OpenTurn(), Pause(), Speculate(table.state.revision)]
    revision = table.state.revision
    assert table.say(200) == []
    assert guess(table, 0.5) == [Interrupt(generation)]
    table.send(ReplyStopped())
    table.say(300)
    assert table.quiet(192) == [Speculate(revision + 1)]


def test_words_that_claim_nothing_yet_keep_the_agent_silent_while_the_caller_goes_on() -> None:
    table = Table().speaking()
    generation = table.state.generation
    table.say(900)
    revision = table.state.revision
    assert guess(table, 0.5, 2, claim=False) == []
    assert table.state.phase is Phase.YIELDING
    table.say(200)
    assert table.quiet(480) == [Speculate(revision + 1)]
    assert guess(table, 0.9, 4, claim=True) == [Interrupt(generation)]


def test_a_television_pauses_a_reply_a_time_or_two_and_then_needs_words() -> None:
    table = Table().speaking()
    for _ in range(SETTINGS.alarms):
        assert Pause() in table.say(900)
        assert guess(table, 0.5, 0, claim=False) == [DropTurn(), Resume()]
    assert Pause() not in table.say(2000)
    generation = table.state.generation
    assert Speculate(table.state.revision) in [command for _, command in table.log]
    assert guess(table, 0.9, 4, claim=True) == [Interrupt(generation)]


def test_the_next_reply_yields_to_a_voice_again() -> None:
    table = Table().speaking()
    for _ in range(SETTINGS.alarms):
        table.say(900)
        guess(table, 0.5, 0, claim=False)
    table.quiet(500)
    table.speaking()
    assert Pause() in table.say(400)


def test_a_reply_that_ends_while_the_caller_is_overheard_leaves_the_turn_open() -> None:
    table = Table().speaking()
    table.say(900)
    revision = table.state.revision
    table.send(ReplyDone(table.state.generation))
    assert table.send(Guess(revision, 0.9, 3, True)) == []
    table.say(300)
    assert table.quiet(192) == [Speculate(revision + 1)]


@pytest.mark.parametrize(("words", "claim"), [(0, False), (1, False)])
def test_a_cough_or_a_back_channel_lets_the_agent_go_on(words: int, claim: bool) -> None:
    table = Table().speaking()
    table.say(288)
    table.quiet(480)
    assert guess(table, 0.9, words, claim) == [DropTurn(), Resume()]
    assert table.state.phase is Phase.SPEAKING
    assert table.quiet(3000) == []


def test_the_agent_goes_on_when_no_guess_ever_comes() -> None:
    table = Table().speaking()
    table.say(288)
    assert Resume in [type(command) for command in table.quiet(SETTINGS.wait_max_ms + 64)]


def test_the_agent_goes_on_when_what_was_said_cannot_be_recognized_twice() -> None:
    table = Table().speaking()
    table.say(288)
    table.quiet(480)
    for _ in range(2):
        assert table.send(GuessFailed(table.state.revision)) == []
        table.quiet(480)
    assert table.kinds().count(Speculate) == 2
    assert Resume in [type(command) for command in table.quiet(SETTINGS.false_alarm_ms)]


def test_the_start_of_a_reply_does_not_yield_but_a_voice_that_lasts_does() -> None:
    table = Table()
    table.send(AgentTurn())
    table.send(ReplyAudible(1))
    assert Pause not in [type(c) for c in table.say(SETTINGS.guard_ms - 40)]
    assert Pause in [type(c) for c in table.say(100)]


def test_a_word_shorter_than_a_barge_in_still_counts() -> None:
    table = Table().speaking()
    table.say(192)
    assert table.state.phase is Phase.SPEAKING
    assert Speculate in [type(c) for c in table.quiet(192)]
    assert guess(table, 0.9, words=1) == [Interrupt(table.state.generation - 1)]


def test_what_must_be_heard_does_not_yield_and_the_words_are_kept() -> None:
    table = Table().speaking()
    table.send(MustHear(True))
    assert [type(c) for c in table.say(1500)] == [OpenTurn]
    table.quiet(900)
    assert table.state.phase is Phase.SPEAKING
    table.send(MustHear(False))
    table.send(ReplyDone(table.state.generation))
    assert Speculate in [type(c) for c in table.quiet(64)]
    assert [type(c) for c in guess(table, 0.9)] == [Commit]


def test_a_key_interrupts() -> None:
    table = Table().speaking()
    assert table.send(Key()) == [Interrupt(1)]
    assert Table().send(Key()) == []


def test_typed_text_interrupts_and_is_answered() -> None:
    table = Table().speaking()
    commands = table.send(Entered())
    assert [type(command) for command in commands] == [Interrupt, Commit]
    assert table.state.phase is Phase.THINKING
    assert table.state.generation == 3


def test_silence_prompts_in_growing_levels_until_the_caller_speaks() -> None:
    table = Table()
    levels = [command.level for command in table.quiet(25_000) if isinstance(command, Prompt)]
    assert levels == [1, 2, 3]
    table.say(400)
    table.quiet(192)
    guess(table, 0.9)
    table.quiet(SETTINGS.wait_high_ms)
    assert table.state.prompts == 0


def test_the_farewell_is_heard_before_the_end() -> None:
    table = Table().speaking()
    assert table.send(ReplyDone(1, "hangup")) == [EndCall()]
    assert table.state.phase is Phase.CLOSING


def test_a_caller_speaking_into_the_farewell_keeps_the_call() -> None:
    table = Table().speaking()
    table.say(192)
    assert table.send(ReplyDone(1, "hangup")) == []
    assert table.state.phase is Phase.LISTENING


@pytest.mark.parametrize("phase", [Phase.TRANSFERRING, Phase.HUMAN, Phase.CLOSING])
def test_the_agent_may_not_speak_once_the_call_is_not_its_own(phase: Phase) -> None:
    table = Table(FloorState(phase=phase, generation=4))
    assert table.send(AgentTurn()) == []
    assert table.send(Entered()) == []
    assert table.say(2000) == []
    assert table.state.generation == 4
    assert not may_speak(table.state, 4)


def test_transfer_starts_after_its_announcement_and_may_come_back() -> None:
    table = Table().speaking()
    assert table.send(ReplyDone(1, "transfer")) == [StartTransfer()]
    table.send(TransferEnded(False))
    assert table.state.phase is Phase.LISTENING
    table.send(AgentTurn())
    assert may_speak(table.state, table.state.generation)
    taken = Table(replace(table.state, phase=Phase.TRANSFERRING))
    taken.send(TransferEnded(True))
    assert taken.state.phase is Phase.HUMAN


def test_giving_up_stops_the_reply_and_transfers() -> None:
    table = Table().speaking()
    assert table.send(GiveUp()) == [Interrupt(1), StartTransfer()]
    assert table.state.phase is Phase.TRANSFERRING


def test_a_stale_reply_changes_nothing() -> None:
    table = Table().speaking()
    table.send(AgentTurn())
    assert table.send(ReplyAudible(1)) == []
    assert table.send(ReplyDone(1, "hangup")) == []
    assert table.state.phase is Phase.THINKING


EVENTS = st.one_of(
    st.builds(Frame, st.booleans()),
    st.just(Tick()),
    st.builds(Guess, st.integers(0, 6), st.floats(0, 1), st.integers(0, 3), st.booleans()),
    st.sampled_from([Entered(), Key(), AgentTurn(), ReplyStopped(), GiveUp(), MustHear(True), MustHear(False)]),
    st.builds(ReplyAudible, st.integers(0, 6)),
    st.builds(ReplyDone, st.integers(0, 6), st.sampled_from([None, "hangup", "transfer"])),
    st.builds(TransferEnded, st.booleans()),
    st.builds(Expecting, st.sampled_from(["open", "yes_no", "digits", "email"])),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 400)), max_size=120))
def test_invariants_hold_whatever_happens(events: list[tuple[floor.Event, float]]) -> None:
    state, now = FloorState(), 0.0
    for event, wait in events:
        now += wait
        before = state
        state, commands = step(state, event, now, SETTINGS)
        assert state.generation >= before.generation
        for command in commands:
            if isinstance(command, Commit):
                assert command.generation == state.generation
                assert before.phase not in (Phase.TRANSFERRING, Phase.HUMAN, Phase.CLOSING)
            if isinstance(command, Interrupt | Retract):
                assert command.generation < state.generation
        if before.phase in (Phase.CLOSING, Phase.HUMAN):
            assert state.phase is before.phase
            assert commands == []
        at = deadline(state, SETTINGS)
        if at is not None and at <= now:
            later, moved = step(state, Tick(), now + 0.001, SETTINGS)
            assert moved or later != state, "a deadline that has passed must change something"


def test_a_digit_that_is_not_recognized_is_kept_for_those_that_follow() -> None:
    table = Table()
    table.send(Expecting("digits"))
    table.say(320)
    table.quiet(192)
    assert guess(table, 0.5, words=0) == []
    table.quiet(1500 - 192)
    table.say(320)
    table.quiet(192)
    assert guess(table, 0.97, words=2) == []
    table.quiet(SETTINGS.wait_sure_ms)
    assert [kind for kind in table.kinds() if kind in (OpenTurn, DropTurn, Commit)] == [OpenTurn, Commit]


def test_a_noise_where_digits_were_asked_is_dropped_in_the_end() -> None:
    table = Table()
    table.send(Expecting("digits"))
    table.say(320)
    table.quiet(192)
    guess(table, 0.5, words=0)
    assert table.quiet(SETTINGS.wait_dictated_ms) == [DropTurn()]
    assert not table.state.open


def test_a_caller_who_went_on_once_is_not_waited_for_longer_for_ever() -> None:
    table = Table()
    for turn in range(SETTINGS.broken_turns + 2):
        table.say(800)
        table.quiet(192)
        guess(table, 0.97)
        assert wait_ms(table.state, SETTINGS) == pytest.approx(390 if 0 < turn <= SETTINGS.broken_turns else 300)
        table.quiet(500)
        if turn == 0:
            table.say(320)  # takes the answer back
            table.quiet(192)
            guess(table, 0.97)
            table.quiet(500)
        table.send(ReplyDone(table.state.generation))
