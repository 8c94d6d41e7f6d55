"""A raised voice is higher, faster and louder; a missing voice says how to get it."""

import numpy as np
import pytest

from agent.lab import caller_voice
from agent.lab.caller_voice import RATE, CallerVoice, raised
from models.errors import ModelMissing


def test_raised_is_higher_faster_and_louder():
    t = np.arange(RATE) / RATE
    calm = (0.07 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)
    angry = raised(calm)
    assert len(angry) == pytest.approx(len(calm) / caller_voice.RAISED_PITCH, rel=0.01)
    peak = np.argmax(np.abs(np.fft.rfft(angry))) * RATE / len(angry)
    assert peak == pytest.approx(200 * caller_voice.RAISED_PITCH, rel=0.02)
    assert angry.std() > 2 * calm.std()
    assert np.abs(angry).max() < 1.0


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(caller_voice, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match=r"callagent\[lab\]"):
        CallerVoice()
