"""Each utterance is heard in its language; callers of the usual one never wait for the other's recognizer."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from models.contracts import Recognition, RecognitionHints, Samples
from models.ears import DECIDED, SURE, Ears
from models.errors import ModelError, ModelMissing

SPEECH: Samples = np.zeros(16_000, dtype=np.float32)


class Usual:
    """Hears `text` with a given certainty, and keeps what it was asked."""

    def __init__(self, text: str = "where is my order", sure: float = -0.2, silence: float = 0.0) -> None:
        self.text, self.sure, self.silence, self.doubtful = text, sure, silence, False
        self.hints: list[RecognitionHints] = []

    def recognize(self, samples: Samples, hints: RecognitionHints) -> Recognition:
        self.hints.append(hints)
        return Recognition(self.text, (), self.sure, self.silence, doubtful=self.doubtful)


class Other:
    """Is sure of a language, and hears it."""

    def __init__(self, chinese: float = 0.95) -> None:
        self.chinese = chinese
        self.hints: list[RecognitionHints] = []

    def languages(self, samples: Samples, among: Sequence[str]) -> Mapping[str, float]:
        assert set(among) == {"en", "zh"}
        return {"zh": self.chinese, "en": 1 - self.chinese}

    def recognize(self, samples: Samples, hints: RecognitionHints) -> Recognition:
        self.hints.append(hints)
        return Recognition("我的订单在哪里", (), -0.3, language=hints.language or "zh")


class Loader:
    def __init__(self, other: Other, error: ModelError | None = None) -> None:
        self.other, self.error, self.times = other, error, 0
        self.loaded = threading.Event()

    def __call__(self) -> Other:
        self.times += 1
        if self.error is not None:
            raise self.error
        self.loaded.set()
        return self.other


def ears(usual: Usual, other: Other, error: ModelError | None = None) -> tuple[Ears, Loader]:
    load = Loader(other, error)
    return Ears(usual, load, ("en", "zh")), load


def test_what_is_clear_in_the_usual_language_loads_nothing() -> None:
    usual, other = Usual(), Other()
    both, load = ears(usual, other)
    heard = both.recognize(SPEECH, RecognitionHints("prompt", "en", languages=("en", "zh")))
    assert (heard.text, heard.language) == ("where is my order", "en")
    assert usual.hints == [RecognitionHints("prompt", "en")]
    assert load.times == 0
    assert not both.loaded


def test_what_is_unclear_is_heard_in_the_language_it_is_in() -> None:
    usual, other = Usual("wo de ding dan", SURE - 0.1), Other()
    both, load = ears(usual, other)
    for _ in range(2):
        heard = both.recognize(SPEECH, RecognitionHints("The number is 5 0.", "en"))
        assert (heard.text, heard.language) == ("我的订单在哪里", "zh")
        assert heard.language_probability == pytest.approx(0.95)
    assert load.times == 1
    assert other.hints[0].prompt is None, "a prompt is in the language that was expected"


@pytest.mark.parametrize("chinese", [0.1, DECIDED - 0.01])
def test_what_is_unclear_and_not_surely_another_language_stays(chinese: float) -> None:
    both, _ = ears(Usual("whereas my odor", SURE - 0.1), Other(chinese))
    heard = both.recognize(SPEECH)
    assert heard.text == "whereas my odor"
    assert heard.language_probability == pytest.approx(1 - chinese)


def test_a_text_that_was_dropped_is_unclear_and_silence_is_not() -> None:
    both, load = ears(Usual("", -2.0, silence=0.1), Other())
    assert both.recognize(SPEECH).language == "zh"
    both, load = ears(Usual("", -2.0, silence=0.9), Other())
    assert both.recognize(SPEECH).text == ""
    assert load.times == 0


def test_a_call_in_chinese_goes_on_in_it_and_may_change_back() -> None:
    usual, other = Usual(), Other()
    both, _ = ears(usual, other)
    assert both.recognize(SPEECH, RecognitionHints("号码是50386。", "zh-CN")).text == "我的订单在哪里"
    assert other.hints == [RecognitionHints("号码是50386。", "zh", languages=("en", "zh"))]
    assert usual.hints == []


def test_a_caller_with_one_language_is_heard_in_that_alone() -> None:
    both = Ears(Usual("mumble", SURE - 1), Loader(Other()), ("en",))
    assert both.recognize(SPEECH, RecognitionHints(language="en")).text == "mumble"


def test_a_guess_does_not_wait_for_loading_but_begins_it() -> None:
    both, load = ears(Usual("wo de", SURE - 0.1), Other())
    guess = both.recognize(SPEECH, RecognitionHints(language="en", quick=True))
    assert (guess.text, guess.doubtful) == ("wo de", True)
    assert load.loaded.wait(5)
    assert both.recognize(SPEECH, RecognitionHints(language="en", quick=True)).language == "zh"


def test_others_are_told_once_as_it_begins_to_load() -> None:
    both, load = ears(Usual("wo de", SURE - 0.1), Other())
    told: list[int] = []
    both.on_load = lambda: told.append(load.times)
    both.recognize(SPEECH)
    both.recognize(SPEECH)
    assert told == [0]


def test_a_recognizer_that_cannot_be_loaded_leaves_the_usual_one() -> None:
    both, load = ears(Usual("wo de", SURE - 0.1), Other(), ModelMissing("pip install"))
    assert both.recognize(SPEECH).text == "wo de"
    assert both.recognize(SPEECH).text == "wo de"
    assert load.times == 2, "the next utterance tries again"
    with pytest.raises(ModelMissing):
        both.recognize(SPEECH, RecognitionHints(language="zh"))
