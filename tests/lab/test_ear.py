"""The ear plays in real time, and marks come back only when what lies before them was played."""

import numpy as np
import pytest

from agent.lab.ear import WORD_GAP_MS, Ear

RATE = 8000
FRAME = 160


def tone(ms: int, level: int = 4000) -> np.ndarray:
    t = np.arange(ms * RATE // 1000)
    return (level * np.sin(2 * np.pi * 300 * t / RATE)).astype(np.int16)


def play(ear: Ear, ms: int) -> tuple[np.ndarray, list[str]]:
    heard, names = [], []
    for _ in range(ms // 20):
        samples, reached = ear.play(FRAME)
        heard.append(samples)
        names += reached
    return np.concatenate(heard), names


def test_audio_comes_out_once_and_in_order_whatever_the_sizes_of_its_pieces():
    ear = Ear(RATE)
    audio = tone(500)
    for at in range(0, len(audio), 333):
        ear.put(audio[at : at + 333])
    heard, _ = play(ear, 600)
    assert np.array_equal(heard[: len(audio)], audio)
    assert not heard[len(audio) :].any()
    assert ear.buffered_ms == 0


def test_a_mark_is_reached_with_the_frame_that_plays_the_last_sample_before_it():
    ear = Ear(RATE)
    ear.put(tone(100))
    ear.mark("half")
    ear.put(tone(100))
    ear.mark("end")
    assert [play(ear, 20)[1] for _ in range(11)] == [[]] * 4 + [["half"]] + [[]] * 4 + [["end"], []]


def test_a_mark_with_nothing_before_it_is_reached_at_once():
    ear = Ear(RATE)
    ear.mark("now")
    assert play(ear, 20)[1] == ["now"]


def test_clear_gives_the_waiting_marks_and_silence_follows():
    ear = Ear(RATE)
    ear.put(tone(1000))
    ear.mark("a")
    ear.put(tone(1000))
    ear.mark("b")
    play(ear, 100)
    assert ear.clear() == ["a", "b"]
    heard, names = play(ear, 100)
    assert not heard.any()
    assert names == []


def test_speaking_bridges_gaps_between_words_and_silence_is_counted_from_the_last_sound():
    ear = Ear(RATE)
    ear.put(np.concatenate([tone(200), np.zeros(1600, np.int16), tone(200)]))
    play(ear, 600)
    assert [(span.start_ms, span.end_ms) for span in ear.spans] == [(0, 600)]
    assert ear.speaking
    play(ear, 400)
    assert not ear.speaking
    assert ear.silent_ms() == pytest.approx(400)
    assert ear.heard_since(500)
    assert not ear.heard_since(600)


def test_a_pause_longer_than_a_word_gap_begins_a_new_span():
    ear = Ear(RATE)
    pause = np.zeros(int(WORD_GAP_MS + 60) * 8, np.int16)
    ear.put(np.concatenate([tone(200), pause, tone(200)]))
    play(ear, 800)
    assert len(ear.spans) == 2


def test_line_noise_is_no_voice():
    ear = Ear(RATE)
    ear.put(tone(500, level=60))
    play(ear, 500)
    assert ear.spans == []
    assert not ear.heard_since(0)


def test_what_does_not_fit_is_refused_and_counted():
    ear = Ear(RATE, limit_s=1.0)
    ear.put(tone(900))
    ear.put(tone(200))
    assert ear.refused == 1600
    assert ear.buffered_ms == 900
