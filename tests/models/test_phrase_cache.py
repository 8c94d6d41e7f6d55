import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from audio.codec import Pcm16
from models.contracts import Speech, Tone
from models.errors import ModelError
from models.phrase_cache import CachedVoice, PhraseCache

RATE = 8000


def tone(samples: int, value: int = 1000) -> Pcm16:
    return np.full(samples, value, dtype=np.int16)


class CountingVoice:
    """Says each character as 10 ms of noise at 16 kHz, in two pieces, and remembers what it was asked to say."""

    def __init__(self, name: str = "counting") -> None:
        self.id = name
        self.asked: list[tuple[str, Tone]] = []
        self._noise = np.random.default_rng(0)

    async def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        self.asked.append((text, tone))
        if "broken" in text:
            raise ModelError("synthesis failed")
        half = len(text) // 2
        for start, end in ((0, half), (half, len(text))):
            samples = self._noise.uniform(-0.5, 0.5, 160 * (end - start)).astype(np.float32)
            yield Speech(samples, 16_000, (start, end))


def files(folder: Path) -> list[Path]:
    return list(folder.rglob("*.phrase"))


async def said(voice: CachedVoice, text: str, tone: Tone = "neutral") -> list[Speech]:
    return [speech async for speech in voice.speak(text, tone)]


def test_what_was_stored_is_loaded_by_another_process_of_the_same_folder(tmp_path: Path) -> None:
    PhraseCache(tmp_path).store("ab12", tone(100), RATE)
    other = PhraseCache(tmp_path)
    assert other.recall("ab12") is None
    loaded = other.load("ab12", RATE)
    assert loaded is not None
    assert np.array_equal(loaded, tone(100))
    assert other.recall("ab12") is not None
    assert other.load("absent", RATE) is None


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:10], lambda d: b"", lambda d: d[:-2] + b"\x01\x02"])
def test_a_damaged_entry_is_dropped(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    PhraseCache(tmp_path).store("ab12", tone(100), RATE)
    (path,) = tmp_path.rglob("*.phrase")
    path.write_bytes(damage(path.read_bytes()))
    assert PhraseCache(tmp_path).load("ab12", RATE) is None
    assert not path.exists()


def test_the_disk_is_bounded_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, max_bytes=10_000, memory_bytes=0)
    for number in range(9):
        cache.store(f"{number:02d}", tone(500), RATE)
        if number:
            assert cache.load("00", RATE) is not None
    for number in range(9, 14):
        cache.store(f"{number:02d}", tone(500), RATE)
        assert cache.load("00", RATE) is not None
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.phrase")) <= 10_000
    assert cache.load("01", RATE) is None
    assert cache.load("13", RATE) is not None


def test_memory_is_bounded(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, memory_bytes=3000)
    for key in ("a1", "b1", "c1"):
        cache.remember(key, tone(500))
    assert cache.recall("a1") is not None
    cache.remember("d1", tone(500))
    assert cache.recall("b1") is None
    assert cache.recall("a1") is not None
    cache.remember("e1", tone(5000))
    assert cache.recall("e1") is None
    assert cache.recall("d1") is not None
    cache.remember("d1", tone(1500))
    assert cache.recall("a1") is None
    assert cache.recall("d1") is not None


def test_a_folder_that_cannot_be_written_costs_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = PhraseCache(tmp_path / "file")
    for key in ("a1", "b1"):
        cache.store(key, tone(10), RATE)
        assert cache.recall(key) is not None
    assert caplog.text.count("cannot be written") == 1


def test_threads_and_instances_may_share_a_folder(tmp_path: Path) -> None:
    caches = [PhraseCache(tmp_path, max_bytes=20_000, memory_bytes=4000) for _ in range(4)]
    wrong = []

    def work(cache: PhraseCache, seed: int) -> None:
        chance = np.random.default_rng(seed)
        for _ in range(60):
            value = int(chance.integers(30))
            key = f"{value:02d}"
            found = cache.load(key, RATE)
            if found is None:
                cache.store(key, tone(400, value), RATE)
            elif not np.array_equal(found, tone(400, value)):
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(cache, seed)) for seed, cache in enumerate(caches)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not list(tmp_path.rglob("*.tmp"))


async def test_a_phrase_warmed_before_is_not_synthesized_again(tmp_path: Path) -> None:
    phrases: list[tuple[str, Tone]] = [("Hello there. One moment.", "neutral"), ("One moment.", "neutral")]
    voice = CountingVoice()
    steps: list[tuple[int, int]] = []
    cached = CachedVoice(voice, PhraseCache(tmp_path))
    assert await cached.warm(phrases, lambda done, total: steps.append((done, total))) == 2
    assert steps == [(1, 2), (2, 2)]
    first = await said(cached, "Hello there. One moment.")
    assert len(voice.asked) == 2
    assert [speech.span for speech in first] == [(0, 12), (13, 24)]
    assert {speech.rate for speech in first} == {8000}

    restarted = CachedVoice(CountingVoice(), PhraseCache(tmp_path))
    assert await restarted.warm(phrases) == 0
    again = await said(restarted, "Hello there. One moment.")
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first, again, strict=True))


async def test_spans_of_pieces_index_the_whole_text(tmp_path: Path) -> None:
    cached = CachedVoice(CountingVoice(), PhraseCache(tmp_path))
    text = "Hi, Ann. It costs $5."
    pieces = await said(cached, text)
    assert "".join(text[slice(*piece.span)] for piece in pieces) == "Hi, Ann.It costs $5."
    assert [len(piece.samples) for piece in pieces] == [80 * (piece.span[1] - piece.span[0]) for piece in pieces]


async def test_what_a_caller_says_is_never_written_to_disk(tmp_path: Path) -> None:
    voice = CountingVoice()
    cached = CachedVoice(voice, PhraseCache(tmp_path))
    await said(cached, "Your address is 12 Oak Street.")
    await said(cached, "Your address is 12 Oak Street.")
    assert len(voice.asked) == 1
    assert not files(tmp_path)


async def test_tone_voice_and_rate_are_told_apart(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path)
    voice, other = CountingVoice(), CountingVoice("other")
    cached = CachedVoice(voice, cache)
    await said(cached, "Hello.")
    await said(cached, "Hello.", "sorry")
    await said(CachedVoice(other, cache), "Hello.")
    wide = await said(CachedVoice(voice, cache, rate=16_000), "Hello.")
    assert voice.asked == [("Hello.", "neutral"), ("Hello.", "sorry"), ("Hello.", "neutral")]
    assert other.asked == [("Hello.", "neutral")]
    assert wide[0].rate == 16_000


async def test_a_failing_synthesizer_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    cached = CachedVoice(CountingVoice(), PhraseCache(tmp_path))
    with pytest.raises(ModelError):
        await cached.warm([("This is broken.", "neutral")])
    assert not files(tmp_path)
    with pytest.raises(ModelError):
        await said(cached, "This is broken.")


async def test_a_sentence_given_up_half_way_is_not_kept(tmp_path: Path) -> None:
    voice = CountingVoice()
    cached = CachedVoice(voice, PhraseCache(tmp_path))
    stream = cached.speak("Hello there.")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await said(cached, "Hello there.")
    assert len(voice.asked) == 2
