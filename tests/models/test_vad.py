import numpy as np
import pytest
from faster_whisper.vad import get_vad_model

from models.contracts import Samples
from models.vad import FRAME, SileroVad, VadState
from models.voice import PiperVoice


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="module")
def spoken() -> Samples:
    """A second of noise floor, a sentence, a second of noise floor, at 16 kHz."""
    from audio.resample import resample

    voice = PiperVoice()
    sentence = resample(voice.synthesize("Could you tell me where my order is?"), voice.rate, 16_000)
    noise = np.random.default_rng(1).normal(0, 1e-3, 16_000).astype(np.float32)
    samples = np.concatenate([noise, sentence, noise])
    return samples[: len(samples) // FRAME * FRAME]


def one_by_one(vad: SileroVad, samples: Samples) -> list[float]:
    state = VadState()
    return [vad.probabilities([(state, frame)])[0] for frame in samples.reshape(-1, FRAME)]


def test_speech_is_told_from_noise(vad: SileroVad, spoken: Samples) -> None:
    found = one_by_one(vad, spoken)
    assert max(found[:28]) < 0.3
    assert max(found[-24:]) < 0.3
    middle = found[34:-34]
    assert np.mean(np.array(middle) > 0.5) > 0.85


def test_frame_by_frame_equals_the_whole_file_at_once(vad: SileroVad, spoken: Samples) -> None:
    whole = get_vad_model()(spoken).reshape(-1)
    # the first frames differ: the file form gives no context to the first frame of a file only
    assert np.allclose(one_by_one(vad, spoken), whole, atol=1e-4)


def test_calls_served_together_do_not_influence_each_other(vad: SileroVad, spoken: Samples) -> None:
    alone = one_by_one(vad, spoken)
    reverse = spoken[::-1].copy()
    alone_reverse = one_by_one(vad, reverse)
    first, second = VadState(), VadState()
    together: list[list[float]] = [[], []]
    for a, b in zip(spoken.reshape(-1, FRAME), reverse.reshape(-1, FRAME), strict=True):
        one, two = vad.probabilities([(first, a), (second, b)])
        together[0].append(one)
        together[1].append(two)
    assert np.allclose(together, [alone, alone_reverse], atol=1e-5)


def test_a_backlog_of_one_call_gives_what_frame_by_frame_gives(vad: SileroVad, spoken: Samples) -> None:
    state = VadState()
    frames = spoken.reshape(-1, FRAME)
    backlog = vad.probabilities([(state, frame) for frame in frames[:50]])
    backlog += vad.probabilities([(state, frame) for frame in frames[50:]])
    assert np.allclose(backlog, one_by_one(vad, spoken), atol=1e-5)


def test_no_frames_give_no_probabilities(vad: SileroVad) -> None:
    assert vad.probabilities([]) == []


def test_a_frame_of_the_wrong_length_is_refused(vad: SileroVad) -> None:
    with pytest.raises(ValueError, match=r"float32\[512\].*\(480,\)"):
        vad.probabilities([(VadState(), np.zeros(480, dtype=np.float32))])
