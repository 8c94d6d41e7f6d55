import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctranslate2
import jiwer
import numpy as np
import pytest

from audio.resample import resample
from audio.wav import read_mono
from models import store
from models.believing import Gates, count_words, longest_run
from models.contracts import RecognitionHints, Samples
from models.errors import DeviceUnavailable, ModelError, ModelMissing
from models.recognizer import SENTENCE_END, WhisperRecognizer, choose_device
from models.stretches import RATE, speech_bounds, windows
from models.training.measure_recognizer import normalise
from models.voice import PiperVoice

pytestmark = [pytest.mark.slow, pytest.mark.aside]

LINES = Path(__file__).parents[2] / "configs/scenarios/latency.wav"
TEXT = "Could you please tell me where my order is?"


@pytest.fixture(scope="module")
def voice() -> PiperVoice:
    return PiperVoice()


@pytest.fixture(scope="module")
def recognizer() -> WhisperRecognizer:
    return WhisperRecognizer(context_s=15, words=True, workers=2)


@pytest.fixture(scope="module")
def question(voice: PiperVoice) -> Samples:
    return resample(voice.synthesize(TEXT), voice.rate, RATE)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def noise(seconds: float, level: float) -> Samples:
    return np.random.default_rng(3).normal(0, level, round(seconds * RATE)).astype(np.float32)


def errors(said: str, heard: str) -> float:
    return float(jiwer.wer(normalise(said), normalise(heard)))


@pytest.mark.parametrize(("context", "beam"), [(15, 1), (30, 1), (12, 5)])
def test_a_question_is_heard(question: Samples, context: float, beam: int) -> None:
    found = WhisperRecognizer(context_s=context, beam_size=beam).recognize(question)
    assert errors(TEXT, found.text) <= 0.12
    assert -0.6 < found.average_log_probability < 0
    assert 0 <= found.no_speech_probability < 0.5
    assert found.language == "en"
    assert found.words == ()


def test_hypotheses_are_different_texts_with_the_likeliest_first(
    recognizer: WhisperRecognizer, question: Samples
) -> None:
    found = recognizer.hypotheses(question, most=3)
    assert 1 <= len(found) <= 3
    assert len(set(found)) == len(found)
    assert errors(TEXT, found[0]) <= 0.12
    assert recognizer.hypotheses(silence(1)) == ()


def test_words_have_times_that_move_with_the_speech(recognizer: WhisperRecognizer, question: Samples) -> None:
    found = recognizer.recognize(np.concatenate([silence(3), question, silence(1)]))
    assert " ".join(word.text for word in found.words) == found.text
    starts = [word.start for word in found.words]
    assert starts == sorted(starts)
    assert 2.7 < starts[0] < 3.6
    assert starts[-1] < found.words[-1].end < 3 + len(question) / RATE + 0.3
    assert all(0 <= word.probability <= 1 for word in found.words)


def test_how_surely_a_sentence_ends_is_told_by_its_words(recognizer: WhisperRecognizer, question: Samples) -> None:
    whole = recognizer.recognize(question)
    last = next(word for word in whole.words if word.text == "my")
    cut = recognizer.recognize(question[: round(last.end * RATE)])
    assert whole.closing is not None
    assert cut.closing is not None
    assert whole.closing > 2.5
    assert cut.closing < 1.5


def test_a_beam_tells_the_same_of_the_same_words(recognizer: WhisperRecognizer) -> None:
    line = read_mono(LINES, RATE)[round(8.3 * RATE) : round(10 * RATE)]
    greedy = recognizer.recognize(line)
    beam = WhisperRecognizer(context_s=15, beam_size=5).recognize(line)
    assert beam.text == greedy.text
    assert beam.closing == pytest.approx(greedy.closing, abs=0.05)
    assert "how long" in beam.text


def test_a_full_stop_ends_a_sentence_and_dots_that_trail_off_do_not() -> None:
    tokens = [".", " ?", '!"', "?!", ".)", "。", "...", "..", "…", ",", "-", "a", " a."]
    assert [token for token in tokens if SENTENCE_END.fullmatch(token)] == tokens[:6]


@pytest.mark.parametrize("samples", [silence(0), silence(2), noise(3, 1e-4), noise(0.03, 0.1)], ids=str)
def test_where_nothing_is_loud_the_model_is_not_asked(recognizer: WhisperRecognizer, samples: Samples) -> None:
    found = recognizer.recognize(samples)
    assert (found.text, found.no_speech_probability, found.closing) == ("", 1.0, None)


@pytest.mark.parametrize("level", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("context", [15, 30])
def test_no_words_are_invented_in_noise(level: float, context: float) -> None:
    found = WhisperRecognizer(context_s=context).recognize(noise(4, level))
    assert found.text == ""
    assert found.no_speech_probability > 0.6


def test_more_than_thirty_seconds_are_heard_whole(recognizer: WhisperRecognizer, voice: PiperVoice) -> None:
    sentences = [
        "Hello, I bought a tent from you last month.",
        "It came on Monday, but one of the poles was broken.",
        "I wrote two letters and nobody answered them.",
        "My neighbor says that you can send me a new pole.",
        "The blue bag in the kitchen is full of apples.",
        "We walked along the river until the sun went down.",
        "Please tell me how long it will take.",
        "I would also like to change my address.",
        "The new house is on the other side of the street.",
        "Thank you very much for your help today.",
    ]
    pieces = []
    for sentence in sentences:
        pieces += [resample(voice.synthesize(sentence), voice.rate, RATE), silence(1.3)]
    samples = np.concatenate(pieces)
    assert len(samples) > 32 * RATE
    found = recognizer.recognize(samples)
    assert errors(" ".join(sentences), found.text) <= 0.12
    starts = [word.start for word in found.words]
    assert starts == sorted(starts)
    assert found.words[-1].end > 30


def test_text_longer_than_its_speech_or_repeated_is_dropped_after_a_second_look(question: Samples) -> None:
    for gates in (Gates(characters_per_s=1, characters=0), Gates(compression=0.1), Gates(hopeless=0.0)):
        found = WhisperRecognizer(context_s=15, gates=gates).recognize(question)
        assert (found.text, found.closing) == ("", None)
        assert found.average_log_probability < 0


def test_a_doubtful_text_is_heard_again_and_then_taken(question: Samples) -> None:
    found = WhisperRecognizer(context_s=15, gates=Gates(doubtful=0.0)).recognize(question)
    best = WhisperRecognizer(context_s=30, beam_size=5).recognize(question)
    assert found == best


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch, voice: PiperVoice) -> tuple[WhisperRecognizer, Samples]:
    """A recognizer whose decoder ends after the first sentence, and three sentences."""
    recognizer = WhisperRecognizer(context_s=15, words=True)
    decode = recognizer._decode
    seen: list[str] = []

    def first_sentence(*given: Any) -> Any:
        decoded = decode(*given)
        seen.append(decoded.text)
        if len(seen) > 1:
            return decoded
        ends = [n for n, token in enumerate(decoded.tokens) if token in recognizer._sentence_ends]
        tokens = decoded.tokens[: ends[0] + 1]
        return replace(decoded, tokens=tokens, text=recognizer._tokenizer("en").decode(tokens).strip())

    monkeypatch.setattr(recognizer, "_decode", first_sentence)
    said = ["I have a question.", "My tent came on Monday.", "Can I send it back to you?"]
    return recognizer, np.concatenate([resample(voice.synthesize(text), voice.rate, RATE) for text in said])


def test_what_follows_an_early_stop_is_heard(stopping: tuple[WhisperRecognizer, Samples]) -> None:
    recognizer, samples = stopping
    found = recognizer.recognize(samples)
    assert errors("I have a question. My tent came on Monday. Can I send it back to you?", found.text) <= 0.2
    starts = [word.start for word in found.words]
    assert starts == sorted(starts)
    assert found.words[-1].end == pytest.approx(len(samples) / RATE, abs=0.5)
    assert not found.doubtful


def test_a_quick_reading_marks_an_early_stop_and_leaves_it(stopping: tuple[WhisperRecognizer, Samples]) -> None:
    recognizer, samples = stopping
    found = recognizer.recognize(samples, RecognitionHints(quick=True))
    assert "question" in found.text
    assert "Monday" not in found.text
    assert found.doubtful


def test_a_quick_reading_does_not_look_twice(question: Samples) -> None:
    unsure = WhisperRecognizer(context_s=15, gates=Gates(doubtful=0.0))
    once = WhisperRecognizer(context_s=15).recognize(question)
    assert unsure.recognize(question, RecognitionHints(quick=True)) == replace(once, doubtful=True)
    assert not once.doubtful
    assert not unsure.recognize(question).doubtful


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("It's 42, OK?", 4), ("$9.50", 3), ("请问我的订单在哪里", 9), ("id4711 x", 6)]
)
def test_digits_and_chinese_characters_count_as_words(text: str, count: int) -> None:
    assert count_words(text.replace("'", "")) == count


def test_a_text_that_runs_to_its_allowance_is_a_loop(monkeypatch: pytest.MonkeyPatch, question: Samples) -> None:
    recognizer = WhisperRecognizer(context_s=15)
    seen = []
    decode = recognizer._decode

    def brief(features: Any, context: float, beam: int, seconds: float, *rest: Any) -> Any:
        seen.append(decode(features, context, beam, -1.2, *rest))
        return seen[-1]

    monkeypatch.setattr(recognizer, "_decode", brief)
    assert recognizer.recognize(question).text == ""
    assert [(one.cut, len(one.tokens)) for one in seen] == [(True, 4), (True, 4)]


def test_concurrent_calls_get_their_own_text(recognizer: WhisperRecognizer, voice: PiperVoice) -> None:
    said = ["Where is my order?", "I want to speak to a person.", "Cancel it, please.", "Thank you and goodbye."]
    clips = [resample(voice.synthesize(text), voice.rate, RATE) for text in said]
    alone = [recognizer.recognize(clip).text for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: recognizer.recognize(clip).text, clips * 2))
    assert together == alone * 2


def test_a_prompt_of_any_length_is_taken(recognizer: WhisperRecognizer, question: Samples) -> None:
    for prompt in ("", "  ", "Harbor and Pine Outfitters.", "Tents, boots and lanterns. " * 300):
        assert errors(TEXT, recognizer.recognize(question, RecognitionHints(prompt=prompt)).text) <= 0.25


def test_an_english_model_hears_english_whatever_the_hint(recognizer: WhisperRecognizer, question: Samples) -> None:
    assert not recognizer.multilingual
    assert recognizer.recognize(question, RecognitionHints(language="zh")).language == "en"


def test_cuda_without_a_gpu_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    with pytest.raises(DeviceUnavailable) as caught:
        WhisperRecognizer(device="cuda")
    assert "recognizer.device is 'cuda', but no CUDA GPU" in str(caught.value)
    assert "'cpu' or 'auto'" in str(caught.value)
    assert choose_device("auto") == "cpu"
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    assert (choose_device("auto"), choose_device("cuda"), choose_device("cpu")) == ("cuda", "cuda", "cpu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_s": 4}, "context_s is 4; give 5 to 30"),
        ({"context_s": 31}, "context_s is 31"),
        ({"beam_size": 0}, "beam_size is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WhisperRecognizer(**settings)  # type: ignore[arg-type]


def test_unusable_models_say_why(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="nosuch"):
        WhisperRecognizer("nosuch")
    with pytest.raises(ModelError, match="recognizer model"):
        WhisperRecognizer(str(tmp_path))
    with pytest.raises(ModelError, match="int7"):
        WhisperRecognizer(compute_type="int7")


def test_a_model_by_path_is_the_model_by_name(tmp_path: Path, question: Samples, recognizer: WhisperRecognizer) -> None:
    original = store.resolve("tiny.en", "recognizer")
    for file in original.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert (
        WhisperRecognizer(str(tmp_path), context_s=15).recognize(question).text == recognizer.recognize(question).text
    )


def test_stereo_is_refused(recognizer: WhisperRecognizer) -> None:
    with pytest.raises(ValueError, match=r"\(100, 2\)"):
        recognizer.recognize(np.zeros((100, 2), dtype=np.float32))


def test_speech_bounds_keep_a_margin() -> None:
    sound = np.sin(np.arange(RATE) * 0.2).astype(np.float32) * 0.3
    start, end = speech_bounds(np.concatenate([silence(2), sound, silence(2)]))
    assert start == pytest.approx(1.8 * RATE, abs=400)
    assert end == pytest.approx(3.2 * RATE, abs=400)
    assert speech_bounds(sound) == (0, RATE)
    assert speech_bounds(silence(0.001)) == (0, 0)


def test_windows_cut_in_the_pauses() -> None:
    talk = noise(100, 0.1)
    for pause in (24, 50, 72):
        talk[pause * RATE : pause * RATE + RATE // 2] = 0
    spans = windows(talk)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert (spans[0][0], spans[-1][1]) == (0, len(talk))
    assert all(end - start <= 30 * RATE for start, end in spans)
    for (_, end), pause in zip(spans[:-1], (24, 50, 72), strict=True):
        assert pause * RATE <= end <= pause * RATE + RATE // 2


@pytest.mark.parametrize(
    ("text", "run"), [("", 0), ("no", 1), ("No, no. NO!", 3), ("4, 4, 4, 2, 2", 3), ("one two one two", 1)]
)
def test_longest_run(text: str, run: int) -> None:
    assert longest_run(text) == run
