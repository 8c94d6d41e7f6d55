"""Rendered phrases, so that what is said often is said at once and always the same."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import struct
import tempfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from audio.codec import Pcm16
from audio.resample import resample, to_float, to_pcm16
from models.contracts import Speech, Tone, Voice, bounded_pace
from models.languages import written_in
from models.speakable import sentences
from models.voice import Run

_MAGIC = b"PHR1"
_HEADER = struct.Struct("<4sIII")
"""Magic, rate in Hz, number of samples, CRC-32 of the samples."""
_SUFFIX = ".phrase"
_AFTER_EVICTION = 0.9
"""Part of `max_bytes` that is left after an eviction, so that not every new phrase evicts one."""

_log = logging.getLogger(__name__)


class PhraseCache:
    """int16 audio by key, in a bounded memory in front of a bounded folder; least recently used entries go first.

    Several processes may share a folder: files are written whole or not at all, a damaged one is dropped and counted as
    absent. A folder that cannot be written costs speed, never a call: it is logged once. Safe in any thread.
    """

    def __init__(self, folder: Path, *, max_bytes: int = 256_000_000, memory_bytes: int = 32_000_000) -> None:
        """Bounds are bytes of audio; a second at 8 kHz takes 16 kB."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[str, Pcm16] = OrderedDict()
        self._held = 0
        self._on_disk: int | None = None
        self._complained = False
        self._lock = threading.Lock()

    def recall(self, key: str) -> Pcm16 | None:
        """The audio if it is in memory; never touches the disk."""
        with self._lock:
            samples = self._memory.get(key)
            if samples is not None:
                self._memory.move_to_end(key)
            return samples

    def load(self, key: str, rate: int) -> Pcm16 | None:
        """The audio from memory or disk; blocks for a disk read of one small file."""
        held = self.recall(key)
        if held is not None:
            return held
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        samples = _unpack(data, rate)
        if samples is None:
            _log.warning("phrase cache: dropped damaged entry %s", path.name)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        self.remember(key, samples)
        return samples

    def remember(self, key: str, samples: Pcm16) -> None:
        """Keep the audio in memory only; audio larger than the whole memory is not kept."""
        if samples.nbytes > self._memory_bytes:
            return
        with self._lock:
            old = self._memory.pop(key, None)
            self._held += samples.nbytes - (old.nbytes if old is not None else 0)
            self._memory[key] = samples
            while self._held > self._memory_bytes:
                self._held -= self._memory.popitem(last=False)[1].nbytes

    def store(self, key: str, samples: Pcm16, rate: int) -> None:
        """Keep the audio in memory and on disk; blocks."""
        self.remember(key, samples)
        body = samples.astype("<i2", copy=False).tobytes()
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as out:
                    out.write(_HEADER.pack(_MAGIC, rate, len(samples), zlib.crc32(body)) + body)
                os.replace(temporary, path)
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            self._count(len(body) + _HEADER.size)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("phrase cache: %s cannot be written (%s); phrases are kept in memory only", path, error)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / (key + _SUFFIX)

    def _count(self, written: int) -> None:
        with self._lock:
            if self._on_disk is not None:
                self._on_disk += written
            if self._on_disk is not None and self._on_disk <= self._max_bytes:
                return
            self._on_disk = self._evict()

    def _evict(self) -> int:
        """Bytes on disk, after the oldest entries went if they were too many; counts what other processes wrote too."""
        entries = []
        for path in self._folder.glob(f"*/*{_SUFFIX}"):
            with suppress(OSError):
                stat = path.stat()
                entries.append((stat.st_mtime_ns, stat.st_size, path))
        total = sum(size for _, size, _ in entries)
        if total > self._max_bytes:
            for _, size, path in sorted(entries, key=lambda entry: entry[0]):
                if total <= self._max_bytes * _AFTER_EVICTION:
                    break
                with suppress(OSError):
                    path.unlink()
                total -= size
        return total


class KeyedVoice(Voice, Protocol):
    """A voice that can be cached: `id` changes whenever its sound does."""

    id: str


class CachedVoice:
    """A voice at a fixed rate whose fixed phrases come from a cache.

    Every `Speech` is at `rate` Hz. Sentences given to `warm` are kept on disk; all others, which may hold a caller's
    name or address, stay in memory only.
    """

    def __init__(
        self, voice: KeyedVoice, cache: PhraseCache, *, rate: int = 8000, run: Run = asyncio.to_thread
    ) -> None:
        self.rate = rate
        self._voice = voice
        self._cache = cache
        self._run = run
        self._fixed: set[str] = set()

    async def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        """Speak `text`; a sentence in the cache comes at once, and equal sentences sound equal.

        Raises:
            models.errors.ModelError: the synthesizer failed.
        """
        language = language or written_in(text)
        pace = bounded_pace(pace)
        for start, end in sentences(text, language):
            key = self._key(text[start:end], tone, pace, language)
            found = self._cache.recall(key)
            if found is None and key in self._fixed:
                found = await self._run(lambda key=key: self._cache.load(key, self.rate))  # type: ignore[misc]
            if found is not None:
                yield Speech(to_float(found), self.rate, (start, end))
                continue
            pieces = []
            async for speech in self._voice.speak(text[start:end], tone, pace=pace, language=language):
                samples = await self._run(lambda speech=speech: resample(speech.samples, speech.rate, self.rate))  # type: ignore[misc]
                pieces.append(to_pcm16(samples))
                yield Speech(samples, self.rate, (start + speech.span[0], start + speech.span[1]))
            if pieces:
                await self._keep(key, np.concatenate(pieces))

    def keep(self, phrases: Iterable[tuple[str, Tone]]) -> None:
        """Keep the sentences of `phrases` on disk once they were spoken, without rendering them now."""
        for text, tone in phrases:
            language = written_in(text)
            self._fixed.update(self._key(text[start:end], tone, 1.0, language) for start, end in sentences(text))

    async def warm(
        self,
        phrases: Iterable[tuple[str, Tone]],
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Render the sentences of `phrases` that are not cached yet; returns how many those were.

        `progress(done, total)` is called after each sentence. From now on these sentences are kept on disk.

        Raises:
            models.errors.ModelError: the synthesizer failed.
        """
        wanted = list(
            dict.fromkeys(
                (text[start:end], tone, written_in(text)) for text, tone in phrases for start, end in sentences(text)
            )
        )
        self._fixed.update(self._key(sentence, tone, 1.0, language) for sentence, tone, language in wanted)
        rendered = 0
        for done, (sentence, tone, language) in enumerate(wanted, 1):
            key = self._key(sentence, tone, 1.0, language)
            if await self._run(lambda key=key: self._cache.load(key, self.rate)) is None:  # type: ignore[misc]
                rendered += 1
                async for _ in self.speak(sentence, tone, language=language):
                    pass
            if progress is not None:
                progress(done, len(wanted))
        return rendered

    def _key(self, sentence: str, tone: Tone, pace: float, language: str) -> str:
        parts = (self._voice.id, tone, str(self.rate), f"{pace:.2f}", language, sentence)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def _keep(self, key: str, samples: Pcm16) -> None:
        if key in self._fixed:
            await self._run(lambda: self._cache.store(key, samples, self.rate))
        else:
            self._cache.remember(key, samples)


def _unpack(data: bytes, rate: int) -> Pcm16 | None:
    if len(data) < _HEADER.size:
        return None
    magic, its_rate, count, checksum = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if magic != _MAGIC or its_rate != rate or len(body) != 2 * count or zlib.crc32(body) != checksum:
        return None
    return np.frombuffer(body, dtype="<i2").astype(np.int16, copy=False)
