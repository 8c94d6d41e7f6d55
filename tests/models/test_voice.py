import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jiwer
import numpy as np
import pytest

from audio import g711
from audio.resample import resample, to_float, to_pcm16
from models import phonemes, store
from models.contracts import Samples
from models.errors import ModelDamaged, ModelError, ModelMissing
from models.phrase_cache import CachedVoice, PhraseCache
from models.recognizer import WhisperRecognizer
from models.speakable import speakable
from models.training.measure_recognizer import normalise
from models.voice import LEAD_S, TAIL_S, PiperVoice, paced, trim

pytestmark = [pytest.mark.slow, pytest.mark.aside]

T = TypeVar("T")


@pytest.fixture(scope="module")
def voice() -> PiperVoice:
    return PiperVoice()


def edges_s(samples: Samples, rate: int) -> tuple[float, float]:
    """Seconds of silence before and after, at 1 % of the peak."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return float(loud[0]) / rate, float(len(samples) - loud[-1]) / rate


async def test_pieces_are_sentences_and_spans_index_the_text_as_written(voice: PiperVoice) -> None:
    text = "Order 42719 costs $18.50. It arrives on May 3!"
    pieces = [piece async for piece in voice.speak(text)]
    assert [text[slice(*piece.span)] for piece in pieces] == ["Order 42719 costs $18.50.", "It arrives on May 3!"]
    for piece in pieces:
        assert piece.rate == voice.rate
        assert piece.samples.dtype == np.float32
        assert 0.1 < np.abs(piece.samples).max() <= 1.0
        before, after = edges_s(piece.samples, piece.rate)
        assert before < LEAD_S + 0.03
        assert after < TAIL_S + 0.06
    assert len(pieces[0].samples) > len(pieces[1].samples)


async def test_synthesis_runs_where_it_is_told_to_and_never_on_the_loop(voice: PiperVoice) -> None:
    used = []

    async def run(work: Callable[[], T], /) -> T:
        def note() -> T:
            used.append(threading.current_thread())
            return work()

        return await asyncio.to_thread(note)

    own = PiperVoice(run=run)
    assert [piece.span async for piece in own.speak("Yes. No.")] == [(0, 4), (5, 8)]
    assert len(used) == 2
    assert threading.main_thread() not in used


def test_serious_tones_are_slower(voice: PiperVoice) -> None:
    text = "I am sorry that your parcel came so late."

    def length(tone) -> float:  # type: ignore[no-untyped-def]
        # One rendering differs from the next by 2 %, the tones by 4 and 7 %: the mean of 12 is sure to 0.6 %.
        return float(np.mean([len(voice.synthesize(text, tone)) for _ in range(12)]))

    neutral = length("neutral")
    assert length("calm") > 1.01 * neutral
    assert length("sorry") > 1.005 * neutral


@pytest.mark.parametrize("text", ["", "   ", "...", "—", "!?"])
async def test_what_cannot_be_said_gives_no_sound(voice: PiperVoice, text: str) -> None:
    assert [piece async for piece in voice.speak(text)] == []
    assert len(voice.synthesize(text)) == 0


@pytest.mark.parametrize("text", ["日本語", "naïve café", "🙂 ok", "x" * 60, "ß", "1/0", "<b>hi</b>"])
def test_odd_texts_are_spoken_or_skipped_but_never_fail(voice: PiperVoice, text: str) -> None:
    assert np.isfinite(voice.synthesize(text)).all()


def test_an_endless_piece_is_refused(voice: PiperVoice) -> None:
    with pytest.raises(ModelError, match="too long"):
        voice.synthesize("word " * 1000)


async def test_several_calls_may_speak_at_a_time(voice: PiperVoice) -> None:
    async def lengths(text: str) -> list[int]:
        return [len(piece.samples) async for piece in voice.speak(text)]

    found = await asyncio.gather(*(lengths(text) for text in ("Hello.", "One moment, please.", "Good-bye.") * 2))
    assert all(len(pieces) == 1 and pieces[0] > 0.2 * voice.rate for pieces in found)


def test_trim_keeps_short_edges_and_nothing_of_silence() -> None:
    rate = 22_050
    sound = np.sin(np.arange(rate) * 0.1).astype(np.float32) * 0.5
    padded = np.concatenate([np.zeros(2000, np.float32), sound, np.zeros(9000, np.float32)])
    kept = trim(padded, rate)
    assert len(sound) < len(kept) <= len(sound) + (LEAD_S + TAIL_S + 0.011) * rate
    assert len(trim(np.zeros(9000, dtype=np.float32), rate)) == 0
    assert len(trim(np.zeros(3, dtype=np.float32), rate)) == 3


def test_the_id_changes_with_the_deliveries(voice: PiperVoice) -> None:
    from models.voice import Delivery

    assert PiperVoice().id == voice.id
    assert PiperVoice(deliveries={"calm": Delivery(1.5, 0.5, 0.5)}).id != voice.id


def test_a_voice_by_path_needs_its_description(tmp_path: Path) -> None:
    original = store.resolve("en_US-joe-medium", "voice")
    model = tmp_path / "own.onnx"
    model.symlink_to(original)
    with pytest.raises(ModelMissing, match=r"own\.onnx\.json"):
        PiperVoice(str(model))
    beside = tmp_path / "own.onnx.json"
    beside.write_text("{}")
    with pytest.raises(ModelDamaged, match="no Piper voice description"):
        PiperVoice(str(model))
    described = json.loads(original.with_name(original.name + ".json").read_text("utf-8"))
    beside.write_text(json.dumps(described | {"espeak": {"voice": "fr"}}))
    with pytest.raises(ModelError, match="speaks 'fr'"):
        PiperVoice(str(model))
    beside.write_text(json.dumps(described))
    assert len(PiperVoice(str(model)).synthesize("Hello.")) > 0
    model.unlink()
    model.write_bytes(b"not a model")
    with pytest.raises(ModelDamaged, match="no ONNX model"):
        PiperVoice(str(model))


def test_phoneme_numbers_are_framed_as_piper_does() -> None:
    numbers = {"_": [0], "^": [1], "$": [2], "a": [14], "b": [15]}
    assert phonemes.to_ids("ab?", numbers) == [1, 0, 14, 0, 15, 0, 2]
    assert phonemes.phonemes("order") == "ˈɔːɹdɚ"
    assert phonemes.phonemes("?!") == ""


SENTENCES = [
    "Sure, one moment please.",
    "Your order number is 42719 and it is out for delivery today.",
    "It should arrive on May 3, between 2 and 4 pm.",
    "The refund of $18.50 goes back to your card.",
    "You will have the money in three to five business days.",
    "Is there anything else I can help you with?",
    "We are open from Monday to Friday, from 9am to 5pm.",
    "I am very sorry about that.",
    "Would you like me to cancel the whole order?",
    "You can return anything within 30 days of delivery.",
]


async def test_what_is_spoken_is_understood_over_the_telephone(voice: PiperVoice, tmp_path: Path) -> None:
    """Spoken by the real voice through the cache at 8 kHz, mu-law, heard by the real recognizer: WER at most 15 %."""
    recognizer = WhisperRecognizer(context_s=15)
    cached = CachedVoice(voice, PhraseCache(tmp_path), rate=8000)
    errors = words = 0
    heard = []
    for sentence in SENTENCES:
        pieces = [piece.samples async for piece in cached.speak(sentence)]
        line = to_float(g711.decode_mulaw(g711.encode_mulaw(to_pcm16(np.concatenate(pieces)))))
        heard.append(recognizer.recognize(resample(line, 8000, 16_000)).text)
        counts = jiwer.process_words(normalise(speakable(sentence).text), normalise(speakable(heard[-1]).text))
        errors += counts.substitutions + counts.deletions + counts.insertions
        words += counts.substitutions + counts.deletions + counts.hits
    assert errors <= 0.15 * words, f"{errors} of {words} words wrong: {heard}"


def test_a_pace_changes_the_duration_by_as_much(voice: PiperVoice) -> None:
    text = "I can send you a new pair of boots, or give you your money back."
    usual = np.mean([len(voice.synthesize(text)) for _ in range(3)])
    for pace in (0.75, 1.25):
        there = np.mean([len(voice.synthesize(text, pace=pace)) for _ in range(3)])
        assert usual / there == pytest.approx(pace, rel=0.12)
    assert paced(1.18, 1.0) == pytest.approx(1.18)
    assert paced(1.0, 0.1) == paced(1.0, 0.7), "a pace is bounded"
