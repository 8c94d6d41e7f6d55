"""Where private words are in a recording, and the recording without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records.muting import (
    HEADER,
    MutedWav,
    Span,
    merged,
    private_ranges,
    private_spans,
    silence_file,
    spans_from,
    spans_of_call,
    write_muted,
)
from agent.records.peaks import peaks
from agent.records.recording import StereoRecording
from agent.records.redaction import redact
from audio.wav import StereoWavWriter, read_wav
from models.contracts import Word

CARD = "4111 1111 1111 1111"


def spoken(text: str, each_s: float = 0.5) -> tuple[Word, ...]:
    return tuple(
        Word(f" {word}", index * each_s, index * each_s + each_s * 0.8, 0.9) for index, word in enumerate(text.split())
    )


def write(path: Path, seconds: float = 4.0, value: int = 1000) -> None:
    with StereoWavWriter(path, 8000) as writer:
        samples = np.full(round(seconds * 8000), value, dtype=np.int16)
        writer.write(samples, -samples)


def silent_ms(path: Path) -> list[tuple[float, float]]:
    """Where a file is silent on both channels."""
    quiet = ~read_wav(path).samples.any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(int)))
    return [(start / 8.0, stop / 8.0) for start, stop in edges.reshape(-1, 2).tolist()]


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("where is my order 54321", []),
        (f"my card is {CARD} thanks", [(CARD, "card")]),
        ("write to jane@example.com please", [("jane@example.com", "email")]),
        (f"{CARD}", [(CARD, "card")]),
        ("call 206 555 0142 or jane@example.com", [("206 555 0142 or jane@example.com", None)]),
        ("我的卡号是四一一一一一一一一一一一一一一一好", [("四一一一一一一一一一一一一一一一", "card")]),
        ("it was [card] and 206 555 0142 then", None),
    ],
)
def test_private_ranges(text: str, private: list[tuple[str, str | None]] | None) -> None:
    found = private_ranges(text)
    if private is None:
        assert any("206 555 0142" in text[start:stop] for start, stop, _ in found)
        return
    if private and private[0][1] is None:  # two values, each its own range
        assert [(text[start:stop], kind) for start, stop, kind in found] == [
            ("206 555 0142", "phone"),
            ("jane@example.com", "email"),
        ]
        return
    assert [(text[start:stop], kind) for start, stop, kind in found] == private


@given(st.text(alphabet="ab 0123456789-@.,四一", max_size=60))
@settings(max_examples=150, deadline=None)
def test_what_is_left_of_any_text_is_what_redaction_leaves(text: str) -> None:
    ranges = private_ranges(text)
    assert (not ranges) == (redact(text) == text)
    last = 0
    for start, stop, _ in ranges:
        assert last <= start < stop <= len(text)
        last = stop
    kept, at = "", 0
    for start, stop, kind in ranges:
        kept += f"{text[at:start]}[{kind}]"
        at = stop
    kept += text[at:]
    assert redact(kept) == kept


def test_private_words_are_found_by_their_times() -> None:
    text = f"my card is {CARD} thanks a lot"
    (span,) = private_spans(text, spoken(text), first_ms=10_000, ended_ms=15_000)
    assert span.kind == "card"
    # Words 3 to 6 sound at 1.5 s to 3.4 s; the silences around them and the padding go too.
    assert (span.from_ms, span.to_ms) == (pytest.approx(11_000), pytest.approx(13_700))


def test_a_misheard_card_number_goes_with_the_digits_that_were_taken_for_words() -> None:
    text = "is for 111, 111, 111, 111, 111 and it"
    (span,) = private_spans(text, spoken(text), 0, 4500)
    assert span.kind == "card"
    assert (span.from_ms, span.to_ms) == (pytest.approx(0), pytest.approx(3700))
    assert private_spans(text, (), 0, 4500) == (Span(0, 4700, "card"),)


def test_a_card_number_heard_in_one_piece_with_the_next_word() -> None:
    text = f"{CARD} ok"
    words = (Word(f" {CARD} ok", 0.0, 4.0, 0.5),)
    (span,) = private_spans(text, words, 0, 4000)
    assert span.from_ms == 0
    assert span.to_ms >= 4000


@pytest.mark.parametrize(
    "words",
    [
        (),
        spoken("my card is something else"),
        spoken(f"my card is {CARD}"),
        tuple(Word(word, 0.0, 0.0, 0.5) for word in f"my card is {CARD} thanks".split()),
        tuple(Word(word, 1.0 - i, 1.0, 0.5) for i, word in enumerate(f"my card is {CARD} thanks".split())),
    ],
    ids=["no times", "other words", "words missing", "no durations", "backwards"],
)
def test_without_good_times_the_whole_turn_is_silent(words: tuple[Word, ...]) -> None:
    assert private_spans(f"my card is {CARD} thanks", words, 10_000, 15_000) == (Span(9500, 15_200, "card"),)


def test_spans_of_a_call_from_its_rows() -> None:
    turns = [
        {"text": "Hello", "heard": "Hello", "started_ms": 0, "ended_ms": 900, "reasons": {}},
        {
            "text": "it is [card] you know",
            "started_ms": 1000,
            "ended_ms": 5000,
            "reasons": {"private": [{"from_ms": 2000, "to_ms": 3000, "kind": "card"}]},
        },
        {"text": "mail [email]", "heard": None, "started_ms": 7000, "ended_ms": 8000, "reasons": {}},
        {"text": "[withheld]", "started_ms": 9000, "ended_ms": 9500, "reasons": None},
        {"text": "So [phone], right?", "heard": "So", "started_ms": 20_000, "ended_ms": 21_000, "reasons": {}},
    ]
    events = [
        {"kind": "key", "at_ms": 30_000, "data": {}},
        {"kind": "recording_paused", "at_ms": 40_000, "data": {"why": "card"}},
        {"kind": "recording_resumed", "at_ms": 45_000, "data": {}},
        {"kind": "muted", "at_ms": 50_000, "data": {"from_ms": 48_000, "to_ms": 49_000, "kind": "card"}},
        {"kind": "recording_paused", "at_ms": 60_000, "data": {"why": "person"}},
    ]
    assert spans_of_call(turns, events, 70_000) == (
        Span(2000, 3000, "card"),
        Span(6500, 8200, "email"),
        Span(8500, 9700, "withheld"),
        Span(19_500, 21_200, "phone"),
        Span(29_600, 30_400, "key"),
        Span(40_000, 45_000, "paused"),
        Span(48_000, 49_000, "card"),
        Span(60_000, 70_000, "paused"),
    )


@pytest.mark.parametrize(
    "plain", [None, "x", [1], [{}], [{"from_ms": 2, "to_ms": 1}], [{"from_ms": -1, "to_ms": float("inf")}]]
)
def test_what_is_no_span_is_left_out(plain: object) -> None:
    assert spans_from(plain) == []


def test_spans_that_touch_are_one_and_keep_the_worst_kind() -> None:
    assert merged([Span(5, 9, "email"), Span(0, 2, "key"), Span(9, 12, "card"), Span(6, 7, "key")]) == (
        Span(0, 2, "key"),
        Span(5, 12, "card"),
    )


def test_playback_is_silent_in_the_spans_and_as_long_as_before(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    spans = (Span(500, 1000, "card"), Span(3900, 99_000, "paused"))
    write_muted(tmp_path / "a.wav", spans, tmp_path / "b.wav")
    assert silent_ms(tmp_path / "a.wav") == []
    assert silent_ms(tmp_path / "b.wav") == [(500, 1000), (3900, 4000)]
    assert len(read_wav(tmp_path / "b.wav").samples) == 32_000
    whole = (tmp_path / "b.wav").read_bytes()
    sound = MutedWav(tmp_path / "a.wav", spans)
    assert sound.size == len(whole)
    for start, stop in ((0, 10), (40, 50), (HEADER + 15_999, HEADER + 32_003), (len(whole) - 3, 10**9), (7, 7)):
        assert sound.read(start, stop) == whole[start:stop]
    assert b"".join(sound.chunks(5, 100_001)) == whole[5:100_001]


def test_a_recording_under_way_is_played_as_far_as_it_is(tmp_path: Path) -> None:
    with StereoWavWriter(tmp_path / "a.wav", 8000, flush_s=60) as writer:
        writer.write(np.ones(8000, dtype=np.int16), np.ones(8000, dtype=np.int16))
        sound = MutedWav(tmp_path / "a.wav")
        writer.write(np.ones(8000, dtype=np.int16), np.ones(8000, dtype=np.int16))
        (tmp_path / "b.wav").write_bytes(b"".join(sound.chunks()))
    assert len(read_wav(tmp_path / "b.wav").samples) == 8000


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x00" * 200])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match="no recording of this agent"):
        MutedWav(tmp_path / "a.wav")


def test_the_file_itself_is_silenced_for_good(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    assert silence_file(tmp_path / "a.wav", [Span(1000, 1500, "card"), Span(3500, 9000, "card")]) == 1000
    assert silent_ms(tmp_path / "a.wav") == [(1000, 1500), (3500, 4000)]


def test_a_recording_mutes_what_is_written_and_what_is_not(tmp_path: Path) -> None:
    recording = StereoRecording(tmp_path / "a.wav")
    piece = np.full(800, 7, dtype=np.int16)
    for number in range(40):
        recording.caller(piece, number * 100)
        recording.agent(piece, number * 100)
        if number == 35:
            recording._place_pending()
            recording._timeline.write_until(20_000)
            assert recording.mute(1000, 1500)
            assert recording.mute(2400, 2600)
            assert recording.mute(3900, 9000)
            assert not recording.mute(float("nan"), 1)
    recording.close()
    assert not recording.mute(0, 100)
    assert silent_ms(tmp_path / "a.wav") == [(1000, 1500), (2400, 2600), (3900, 4000)]


def test_mutes_are_bounded_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.records.recording.MOST_MUTES", 2)
    recording = StereoRecording(tmp_path / "a.wav")
    recording.caller(np.full(8000, 7, dtype=np.int16), 0)
    recording.agent(np.full(8000, 7, dtype=np.int16), 0)
    for start in (100, 300, 500, 700):
        recording.mute(start, start + 50)
    recording.close()
    assert silent_ms(tmp_path / "a.wav") == [(100, 150), (300, 750)]


def test_peaks_show_both_sides_and_no_private_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.records.peaks.BLOCK_FRAMES", 3001)
    with StereoWavWriter(tmp_path / "a.wav", 8000) as writer:
        level = np.repeat(np.array([0, 8192, -16384, -32768], dtype=np.int16), 2000)
        writer.write(level, np.zeros(8000, dtype=np.int16))
    shown = peaks(tmp_path / "a.wav", (), 4)
    assert shown == {"duration_s": 1.0, "channels": [[0.0, 0.25, 0.5, 1.0], [0.0] * 4], "muted": []}
    shown = peaks(tmp_path / "a.wav", (Span(250, 500, "card"), Span(900, 5000, "key"), Span(2000, 3000, "key")), 8)
    assert shown["channels"][0] == [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    assert shown["muted"] == [[0.25, 0.5, "card"], [0.9, 1.0, "key"]]
    assert len(peaks(tmp_path / "a.wav")["channels"][1]) == 1000
    with pytest.raises(ValueError, match="give 1 to 4000"):
        peaks(tmp_path / "a.wav", (), 0)


def test_peaks_of_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0.0)
    assert peaks(tmp_path / "a.wav") == {"duration_s": 0.0, "channels": [[], []], "muted": []}
