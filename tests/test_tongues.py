"""A server speaks the languages that its domain has and whose parts are installed; others cost it nothing."""

import logging
import threading
from dataclasses import replace

import pytest

from agent import tongues
from agent.clock import LoopClock
from agent.config import CONFIGS, Settings
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain
from agent.tongues import languages_of, load_together, understanding_of
from models.contracts import UnderstandingContext, Understood
from models.ears import Ears
from models.encoder import SentenceEncoder
from models.understanding import MultilingualUnderstanding
from models.voice_zh import LaterVoice, MultilingualVoice


@pytest.fixture(scope="module")
def english() -> Domain:
    return replace(load_domain(CONFIGS / "domains" / "shop"), localized={})


@pytest.fixture
def both(english: Domain) -> Domain:
    return replace(english, localized={"zh": english})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    there = {"phonemes": True, "kokoro-82m": True, "base": True}
    monkeypatch.setattr(tongues.phonemes_zh, "installed", lambda: there["phonemes"])
    monkeypatch.setattr(tongues.store, "installed", lambda name, part: there.get(name, False))
    return there


def settings(**recognizer: object) -> Settings:
    return Settings.model_validate({"recognizer": recognizer})


def test_the_domain_says_which_languages_there_are(english: Domain, both: Domain, installed: dict[str, bool]) -> None:
    assert languages_of(settings(), english) == ("en",)
    assert languages_of(settings(), both) == ("en", "zh")
    assert languages_of(settings(languages=["en"]), both) == ("en",)


@pytest.mark.parametrize("lost", ["phonemes", "kokoro-82m", "base"])
def test_without_a_part_callers_are_served_in_the_first_language(
    both: Domain, installed: dict[str, bool], lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    installed[lost] = False
    with caplog.at_level(logging.INFO):
        assert languages_of(settings(), both) == ("en",)
    assert "callagent[zh]" in caplog.text


def test_a_language_that_is_named_and_has_no_texts_is_told(
    english: Domain, installed: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    assert languages_of(settings(languages=["en", "zh"]), english) == ("en",)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "add a folder zh" in caplog.text


class Part:
    """A recognizer that notes when it was made."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1


def test_voice_and_understanding_load_beside_the_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = MultilingualVoice({"en": LaterVoice(Part, "a"), "zh": LaterVoice(Part, "b")})  # type: ignore[arg-type]
    understanding = MultilingualUnderstanding(Usual(), {"zh": Usual})
    ears = Ears(Part(), Part, ("en", "zh"))  # type: ignore[arg-type]
    before = Part.made
    load_together(settings(), ears, voice, understanding)
    assert Part.made == before, "nothing is loaded before it is needed"
    load_together(settings(preload=True), ears, voice, understanding)
    for thread in threading.enumerate():
        if thread.name in ("load-ears", "load-languages"):
            thread.join(5)
    for thread in threading.enumerate():
        if thread.name == "load-languages":
            thread.join(5)
    assert Part.made == before + 3
    assert ears.loaded


class Usual:
    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        return Understood("usual", 1.0)


def test_understanding_of_one_language_is_left_as_it_is(english: Domain, both: Domain) -> None:
    usual = Usual()
    encoder, clock = SentenceEncoder(), LoopClock()
    assert understanding_of(usual, Settings(), english, ("en",), encoder, clock) is usual
    several = understanding_of(usual, Settings(), both, ("en", "zh"), encoder, clock)
    assert several is not usual
    assert several.understand("where is my order").intent == "usual", "nothing of the other language is made for it"
