"""Real speech, really recognized: what was private is not heard any more, and the rest still is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.records.muting import MutedWav, private_spans, write_muted
from audio.resample import resample, to_pcm16
from audio.wav import StereoWavWriter, read_mono
from models.contracts import RecognitionHints
from models.recognizer import WhisperRecognizer
from models.voice import PiperVoice

pytestmark = [pytest.mark.slow, pytest.mark.aside]

SAID = {
    "card": "Yes, my card number is 4 1 1 1, 1 1 1 1, 1 1 1 1, 1 1 1 1, and it expires soon.",
    "phone": "You can call me back at 2 0 6, 5 5 5, 0 1 4 2, after six in the evening.",
}
STAYS = {"card": "number", "phone": "evening"}


@pytest.fixture(scope="module")
def voice() -> PiperVoice:
    return PiperVoice()


@pytest.fixture(scope="module")
def ear() -> WhisperRecognizer:
    return WhisperRecognizer(context_s=15)


@pytest.mark.parametrize("kind", SAID)
def test_a_number_said_aloud_is_not_in_the_muted_recording(
    tmp_path: Path, voice: PiperVoice, ear: WhisperRecognizer, kind: str
) -> None:
    spoken = resample(voice.synthesize(SAID[kind], pace=0.9), voice.rate, 16_000)
    assert not ear.recognize(spoken).words
    heard = ear.recognize(spoken, RecognitionHints(words=True))  # as calls do
    assert sum(character.isdigit() for character in heard.text) >= 9
    spans = private_spans(heard.text, heard.words, 0.0, len(spoken) / 16.0)
    assert spans
    narrow = to_pcm16(resample(spoken, 16_000, 8000))
    with StereoWavWriter(tmp_path / "call.wav", 8000) as writer:
        writer.write(narrow, np.zeros_like(narrow))
    write_muted(tmp_path / "call.wav", spans, tmp_path / "muted.wav")
    assert MutedWav(tmp_path / "muted.wav").duration_ms == MutedWav(tmp_path / "call.wav").duration_ms
    again = ear.recognize(read_mono(tmp_path / "muted.wav", 16_000) * 2).text
    assert sum(character.isdigit() for character in again) <= 2, again  # "after six" may be written as 6
    assert STAYS[kind] in again
