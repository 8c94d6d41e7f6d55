import numpy as np
import pytest
from faster_whisper.vad import get_vad_model

from models.contracts import Samples
from models.vad import CONTEXT, FRAME, Silence, SileroVad, VadState
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


def whole(vad: SileroVad, state: VadState, frames: list[Samples]) -> list[float]:
    """What the whole model says."""
    batch = np.stack([np.concatenate([np.zeros(CONTEXT, dtype=np.float32), frame]) for frame in frames])
    batch[0, :CONTEXT], batch[1:, :CONTEXT] = state.context, batch[:-1, -CONTEXT:]
    chances, state.h, state.c = vad._session.run(None, {"input": batch, "h": state.h, "c": state.c})
    state.context = batch[-1, -CONTEXT:]
    return [float(chance) for chance in chances]


@pytest.mark.parametrize("count", [1, 2, 7, 31, 32, 64])
def test_half_of_the_model_says_the_very_same_of_silence(vad: SileroVad, count: int) -> None:
    random = np.random.default_rng(count)
    h, c = (random.normal(0, 1, (1, 1, 128)).astype(np.float32) for _ in range(2))
    half, full = VadState(h, c), VadState(h, c)
    silence = np.zeros(FRAME, dtype=np.float32)
    assert vad.probabilities([(half, silence)] * count) == whole(vad, full, [silence] * count)
    assert np.array_equal(half.h, full.h)
    assert np.array_equal(half.c, full.c)


def test_silence_amid_a_voice_is_the_very_same_too(vad: SileroVad, spoken: Samples) -> None:
    frames: list[Samples] = []
    for frame in spoken.reshape(-1, FRAME)[20:60:4]:
        frames += [np.zeros(FRAME, dtype=np.float32)] * 3 + [frame]
    half, full = VadState(), VadState()
    told = [chance for frame in frames for chance in vad.probabilities([(half, frame)])]
    assert told == [chance for frame in frames for chance in whole(vad, full, [frame])]
    assert max(told) > 0.3


def test_silence_after_sound_is_not_yet_silence_to_the_model(vad: SileroVad, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    still = Silence.probabilities
    monkeypatch.setattr(
        Silence, "probabilities", lambda self, state, count: asked.append(count) or still(self, state, count)
    )
    state, silence = VadState(), np.zeros(FRAME, dtype=np.float32)
    sound = np.full(FRAME, 0.1, dtype=np.float32)
    for frames in ([silence], [silence, silence.copy()], [sound], [silence], [silence], [silence, sound]):
        vad.probabilities([(state, frame) for frame in frames])
    assert asked == [1, 2, 1]
    with pytest.raises(ValueError, match="512"):
        vad.probabilities([(state, np.zeros(511, dtype=np.float32))])


def test_a_model_that_cannot_be_halved_is_run_whole(vad: SileroVad, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.vad.nodes", lambda model: [])
    other, mine, its = SileroVad(), VadState(), VadState()
    frames = [np.zeros(FRAME, dtype=np.float32)] * 4
    assert other._silence is None
    assert other.probabilities([(its, frame) for frame in frames]) == vad.probabilities(
        [(mine, frame) for frame in frames]
    )
