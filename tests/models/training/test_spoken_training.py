"""Round trips: a text is spoken, damaged and heard once; slot values are found again or not labelled."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from datafiles import write

from audio.damage import LineDamageSpec
from models.contracts import Recognition, RecognitionHints, Samples, Speech, Tone
from models.errors import ModelError
from models.training.augment import main, speak_all
from models.training.examples import DataError, Example, Span, Splits
from models.training.readers import read_examples
from models.training.spoken import RoundTrips, SpokenRoundTrip, draw_line, found_again, telephone

TONES = {"cancel": 500, "order": 800, "four": 1100, "two": 1400, "please": 1700, "bird": 2000}
"""Word -> Hz in the language of `Whistler`."""
WORD_S = 0.2


class Whistler:
    """A voice of one whistle a word."""

    def __init__(self, rate: int = 22_050) -> None:
        self.rate = rate
        self.spoken: list[str] = []

    async def speak(self, text: str, tone: Tone = "neutral", **_: object) -> AsyncIterator[Speech]:
        self.spoken.append(text)
        times = np.arange(round(WORD_S * self.rate)) / self.rate
        for word in text.lower().split():
            whistle = 0.3 * np.sin(2 * np.pi * TONES[word] * times)
            yield Speech(whistle.astype(np.float32), self.rate, (0, len(text)))


class Ear:
    """A recognizer of whistles; hears `bird` as `burnt`."""

    def recognize(self, samples: Samples, hints: RecognitionHints = RecognitionHints()) -> Recognition:  # noqa: B008
        size = round(WORD_S * 16_000)
        heard = []
        for start in range(round(0.3 * 16_000), len(samples) - size // 2, size):
            piece = samples[start : start + size]
            powers = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 16_000))
            tone = int(np.argmax(powers[400:2200])) + 400
            name, hz = min(TONES.items(), key=lambda item: abs(item[1] - tone))
            if powers[tone] > 50 and abs(hz - tone) < 60:
                heard.append("burnt" if name == "bird" else name)
        return Recognition(" ".join(heard).capitalize())


def trip(voice: Whistler, cache: RoundTrips | None = None, seed: int = 1) -> SpokenRoundTrip:
    return SpokenRoundTrip(voice, Ear(), Random(seed), cache, "whistle")


def test_a_text_goes_over_the_line_and_comes_back_with_its_labels() -> None:
    example = Example("cancel order four two please", "cancel", (Span(13, 21, "number"),), ("sad",), "f:1", 0.5)
    heard = trip(Whistler()).hear(example)
    assert heard is not None
    assert heard.text == "Cancel order four two please"
    assert heard.spans == (Span(13, 21, "number"),)
    assert (heard.intent, heard.emotions, heard.origin, heard.weight) == ("cancel", ("sad",), "f:1", 0.5)


def test_a_misheard_value_is_not_labelled_any_more() -> None:
    heard = trip(Whistler()).hear(Example("order bird please", "buy", (Span(6, 10, "product"),)))
    assert heard is not None
    assert heard.text == "Order burnt please"
    assert heard.spans is None


def test_what_is_not_heard_is_no_example() -> None:
    rounds = trip(Whistler())
    assert rounds.hear(Example("  ")) is None
    splits = Splits((Example("cancel"), Example(" "), Example("bird")))
    assert [e.text for e in speak_all(splits, rounds, None, 0)] == ["Cancel", "Burnt"]
    assert rounds.changed == 1


def test_a_limit_draws_examples_by_the_seed() -> None:
    splits = Splits(tuple(Example(word) for word in TONES))
    first = speak_all(splits, trip(Whistler()), 3, 5)
    assert len(first) == 3
    assert speak_all(splits, trip(Whistler()), 3, 5) == first


def test_the_cache_pays_once_for_each_text_and_voice(tmp_path: Path) -> None:
    path, voice = tmp_path / "var" / "spoken.jsonl", Whistler()
    with RoundTrips(path) as cache:
        first = trip(voice, cache).hear(Example("cancel order"))
        assert trip(voice, cache).hear(Example(" ")) is None
    with RoundTrips(path) as cache:
        assert trip(voice, cache).hear(Example("cancel order", "other")) == Example("Cancel order", "other")
        assert trip(voice, cache).hear(Example(" ")) is None
        assert voice.spoken == ["cancel order", " "]
        trip(voice, cache, seed=2).hear(Example("cancel order"))
    assert first == Example("Cancel order")
    assert voice.spoken == ["cancel order", " ", "cancel order"], "another seed is another line"
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_a_cache_cut_short_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "spoken.jsonl"
    whole = json.dumps({"name": "v", "text": "a", "heard": "b"})
    path.write_bytes(whole.encode() + b'\n[]\n{"name": 1}\n\xff\n{"name": "v", "te')
    with RoundTrips(path) as cache:
        assert cache.get("v", "a") == "b"
        cache.put("v", "c", "d")
    with RoundTrips(path) as cache:
        assert (cache.get("v", "a"), cache.get("v", "c"), cache.get("w", "a")) == ("b", "d", None)


def test_a_cache_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be used"):
        RoundTrips(tmp_path)


def test_a_voice_that_fails_is_not_hidden(tmp_path: Path) -> None:
    class Mute(Whistler):
        async def speak(self, text: str, tone: Tone = "neutral", **_: object) -> AsyncIterator[Speech]:
            raise ModelError("no voice")
            yield

    with RoundTrips(tmp_path / "c.jsonl") as cache, pytest.raises(ModelError, match="no voice"):
        trip(Mute(), cache).hear(Example("cancel"))
    assert (tmp_path / "c.jsonl").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(
    ("text", "spans", "heard", "expected"),
    [
        ("order 42719 now", [(6, 11)], "Order 4 2 7 1 9 now.", ["4 2 7 1 9"]),
        ("order 42719 now", [(6, 11)], "order four two seven one nine now", ["four two seven one nine"]),
        ("order 42719 now", [(6, 11)], "order 42718 now", None),
        ("Big Tent and tent", [(0, 8), (13, 17)], "a big tent, and tent", ["big tent", "tent"]),
        ("tent or tent", [(0, 4), (8, 12)], "tent or ten", None),
        ("what's it", [(0, 6)], "What’s it?", ["What’s"]),
        ("a ? b", [(2, 3)], "a b", None),
        ("nothing", [], "nothing", []),
    ],
)
def test_values_are_found_again_by_words_or_digits(
    text: str, spans: list[tuple[int, int]], heard: str, expected: list[str] | None
) -> None:
    example = Example(text, spans=tuple(Span(start, end, "x") for start, end in spans))
    found = found_again(example, heard)
    assert (None if found is None else [heard[s.start : s.end] for s in found]) == expected


def test_unlabelled_values_stay_unlabelled() -> None:
    assert found_again(Example("order 42719"), "order 42719") is None


def test_the_line_keeps_length_and_damages_sound() -> None:
    times = np.arange(8000, dtype=np.float32) / 8000
    tone = (0.3 * np.sin(2 * np.pi * 500 * times)).astype(np.float32)
    clean = telephone(tone, LineDamageSpec(codec="mulaw"), 0)
    lossy = telephone(tone, LineDamageSpec(codec="mulaw", loss_percent=30), 0)
    assert clean.dtype == np.float32
    assert len(clean) == len(lossy) == 16_000
    assert np.sqrt(np.mean(clean[2000:-2000] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    assert np.mean(lossy**2) < 0.9 * np.mean(clean**2)


def test_lines_differ_and_are_drawn_again_alike() -> None:
    lines = [draw_line(Random(seed)) for seed in range(60)]
    assert lines == [draw_line(Random(seed)) for seed in range(60)]
    assert all(line.codec == "mulaw" and -9 <= line.gain_db <= 3 for line in lines)
    assert 10 < sum(line.noise is None for line in lines) < 40
    assert 0 < sum(line.loss_percent > 0 for line in lines) < 30


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["augment", "--spoken", *arguments])
    return main()


def test_the_command_says_what_is_wrong_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    data = write(tmp_path / "data.csv", "text,intent", "hello,")
    assert command(monkeypatch, "--data", str(data), "--out", str(out)) == 2
    assert "data.csv:2: intent is ''" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.aside
def test_the_command_writes_examples_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "data.csv", "text,intent", "where is my order,status", "cancel my order,cancel")
    out, cache = tmp_path / "out.jsonl", tmp_path / "cache.jsonl"
    assert command(monkeypatch, "--data", str(data), "--out", str(out), "--cache", str(cache)) == 0
    heard = read_examples(out)
    assert [e.intent for e in heard.train] == ["status", "cancel"]
    assert all("order" in e.text.lower() for e in heard.train)
    assert len(cache.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.slow
@pytest.mark.aside
def test_our_own_voice_is_heard_by_our_own_recognizer() -> None:
    from models.recognizer import WhisperRecognizer
    from models.voice import PiperVoice

    rounds = SpokenRoundTrip(PiperVoice(), WhisperRecognizer(), Random(0))
    heard = rounds.hear(Example("I want to cancel my order please", "cancel", (Span(20, 25, "what"),)))
    assert heard is not None
    assert "order" in heard.text.lower()
    assert heard.spans is None or heard.text[heard.spans[0].start : heard.spans[0].end].lower() == "order"
