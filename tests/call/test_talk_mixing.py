"""Who hears whom, and how voices are put together and evened out."""

from __future__ import annotations

import numpy as np
import pytest

from agent.call.seats import LiveSeat, SeatClosed
from agent.call.talk import FRAME, KNEE, MOST_MS, Jitter, Mode, Music, Stand, hears, mix, together
from audio.codec import Pcm16


def tone(level: int) -> Pcm16:
    return np.full(FRAME, level, dtype=np.int16)


@pytest.mark.parametrize(
    ("speaker", "caller_hears", "talker_hears", "listener_hears"),
    [
        ("listen", False, False, False),
        ("whisper", False, True, False),
        ("talk", True, True, True),
        ("barge", True, True, True),
    ],
)
def test_who_hears_whom(speaker: Mode, caller_hears: bool, talker_hears: bool, listener_hears: bool) -> None:
    seats = {
        "speaker": (Stand(speaker), tone(100)),
        "talker": (Stand("talk"), None),
        "listener": (Stand("listen"), None),
    }
    mixed = mix(None, None, seats)
    assert (mixed.to_caller is not None) is caller_hears
    assert (mixed.to_seats["talker"] is not None) is talker_hears
    assert (mixed.to_seats["listener"] is not None) is listener_hears
    assert mixed.to_seats["speaker"] is None


def test_everybody_hears_the_caller_and_the_agent() -> None:
    modes: tuple[Mode, ...] = ("listen", "whisper", "talk", "barge")
    mixed = mix(tone(100), tone(50), {mode: (Stand(mode), None) for mode in modes})
    assert all(frame is not None and frame[0] == 150 for frame in mixed.to_seats.values())
    assert mixed.to_caller is not None
    assert mixed.to_caller[0] == 50


@pytest.mark.parametrize("mode", ["listen", "whisper", "talk", "barge"])
def test_who_is_muted_is_heard_by_nobody(mode: Mode) -> None:
    for other in ("listen", "whisper", "talk", "barge"):
        assert not hears(Stand(other), Stand(mode, muted=True))  # type: ignore[arg-type]
    assert mix(None, None, {"a": (Stand(mode, muted=True), tone(100))}).to_caller is None


def test_on_hold_the_caller_and_people_do_not_hear_each_other_and_music_plays() -> None:
    music = tone(7)
    seats = {"a": (Stand("talk", held=True), tone(100)), "b": (Stand("barge"), tone(30))}
    mixed = mix(tone(5), None, seats, music)
    assert mixed.to_caller is music
    assert mixed.to_seats["a"] is None or mixed.to_seats["a"][0] == 30
    assert mix(tone(5), tone(9), {"a": (Stand("talk", held=True), None)}, music).to_caller is not music


def test_voices_together_are_limited_and_a_voice_alone_is_left_as_it_is() -> None:
    alone = tone(32767)
    assert together([None, alone, None]) is alone
    assert together([]) is None
    both = together([tone(30000), tone(30000)])
    assert both is not None
    assert KNEE < int(both.max()) <= 32767
    quiet = together([tone(1000), tone(-400)])
    assert quiet is not None
    assert (quiet == 600).all()


def test_a_voice_is_passed_on_after_60_ms_and_without_loss() -> None:
    jitter, given = Jitter(), []
    for n in range(50):
        jitter.put(tone(n + 1))
        frame = jitter.take()
        if frame is not None:
            given.append(int(frame[0]))
    assert given == list(range(1, 49))  # the first is given when the third is there: 40 ms behind, 60 ms of sound
    assert jitter.needed_ms == 60


def test_an_uneven_network_makes_more_wait_and_a_calm_one_less() -> None:
    jitter = Jitter()
    for _ in range(6):
        for _ in range(10):
            jitter.put(tone(1))
            jitter.take()
        for _ in range(12):
            jitter.take()  # nothing comes for 240 ms
    assert 100 < jitter.needed_ms <= MOST_MS
    worst = jitter.needed_ms
    for _ in range(200):
        jitter.put(tone(1))
    assert jitter.waiting_ms <= 2 * MOST_MS
    assert jitter.dropped > 0
    for _ in range(3000):
        jitter.put(tone(1))
        jitter.take()
    assert jitter.needed_ms < worst
    assert jitter.waiting_ms <= 60


def test_a_pause_in_speaking_makes_nothing_wait_longer() -> None:
    jitter = Jitter()
    for _ in range(4):
        for _ in range(10):
            jitter.put(tone(1))
            jitter.take()
        for _ in range(200):
            jitter.take()
    assert jitter.needed_ms == 60


def test_a_word_shorter_than_what_has_to_wait_is_passed_on() -> None:
    jitter = Jitter()
    jitter.put(tone(9))
    frames = [jitter.take() for _ in range(20)]
    assert sum(frame is not None for frame in frames) == 1


def test_pieces_of_any_length_become_frames() -> None:
    jitter = Jitter(20.0)
    line = np.arange(1, 3001, dtype=np.int16)
    at = 0
    for length in (100, 731, 3, 999, 1167):
        jitter.put(line[at : at + length])
        at += length
    frames = []
    while (frame := jitter.take()) is not None:
        frames.append(frame)
    joined = np.concatenate(frames)
    assert (joined[:3000] == line).all()
    assert not joined[3000:].any()


def test_music_goes_on_and_is_softer_than_a_voice() -> None:
    music = Music()
    played = np.concatenate([music.take() for _ in range(100)])
    assert played.any()
    assert int(np.abs(played).max()) < 3000


def test_a_seat_refuses_frames_of_another_size() -> None:
    seat = LiveSeat("ana", Stand("listen"), lambda seat, stand: None, lambda seat: None)
    for wrong in (b"", bytes(639), bytes(641), bytes(320)):
        with pytest.raises(ValueError, match="send 640"):
            seat.speak(wrong)
    with pytest.raises(ValueError, match="mode 'shout'"):
        seat.change(mode="shout")  # type: ignore[arg-type]


async def test_a_browser_that_reads_slowly_loses_the_oldest_and_is_told_the_end() -> None:
    seat = LiveSeat("ana", Stand("listen"), lambda seat, stand: None, lambda seat: None)
    for n in range(40):
        seat.give(tone(n))
    seat.close("call_over")
    heard = [np.frombuffer(await seat.hear(), dtype="<i2")[0] for _ in range(25)]
    with pytest.raises(SeatClosed, match="call_over"):
        await seat.hear()
    assert heard == list(range(15, 40))
    assert seat.dropped == 15
    with pytest.raises(SeatClosed):
        seat.change(muted=True)


@pytest.mark.parametrize(("level", "seconds"), [(0, 2), (5000, 16)])
def test_what_a_stall_left_waiting_is_gone_soon_in_silence_and_in_time_in_speech(level: int, seconds: int) -> None:
    jitter = Jitter()
    for _ in range(50):
        jitter.put(tone(5000))
        jitter.take()
    for _ in range(15):
        jitter.take()  # the network stalls for 300 ms
    for _ in range(15):
        jitter.put(tone(5000))  # and gives all of it at once
    assert jitter.waiting_ms >= 300
    for _ in range(seconds * 50):
        jitter.put(tone(level))
        jitter.take()
    assert jitter.waiting_ms <= 80
