"""Texts as our own recognizer hears them: spoken, sent down a telephone line, recognized; paid for once."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import IO, Self

import numpy as np

from audio.damage import TICK_MS, LineDamage, LineDamageSpec, NoiseSpec
from audio.noises import BEDS
from audio.resample import resample, to_float, to_pcm16
from models.contracts import RecognitionHints, Recognizer, Samples, Voice
from models.slots.digits import digit_runs
from models.training.checks import normalised
from models.training.examples import DataError, Example, Span

LINE_RATE = 8000
HEARD_RATE = 16_000
_SILENCE_S = 0.3
"""Before and after the speech, as on a call."""
_QUIET_LINES = 0.4
"""Share of the lines without noise."""
_SNR_DB = (12.0, 30.0)
_GAIN_DB = (-9.0, 3.0)
_LOSSY_LINES = 0.2
_LOSS_PERCENT = (0.5, 3.0)
_HEARD_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class RoundTrips:
    """What was heard of (name, text) pairs, in a JSONL file that grows line by line and survives a kill.

    A line that cannot be read, such as the last one of a killed run, is passed over. One process writes at a time.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` None keeps them in memory only.

        Raises:
            DataError: the file cannot be opened for writing.
        """
        self._heard: dict[tuple[str, str], str] = {}
        self._file: IO[str] | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="utf-8", errors="replace")
            self._file.seek(0)
            ended = True
            for line in self._file:
                ended = line.endswith("\n")
                self._remember(line)
            if not ended:
                self._file.write("\n")
        except OSError as error:
            raise DataError([f"{path}: cannot be used ({error.strerror or error}); name another cache"]) from None

    def _remember(self, line: str) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return
        if isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("name", "text", "heard")):
            self._heard[row["name"], row["text"]] = row["heard"]

    def get(self, name: str, text: str) -> str | None:
        """What was heard of `text` under `name`, "" where that was nothing; None where it was not spoken yet."""
        return self._heard.get((name, text))

    def put(self, name: str, text: str, heard: str) -> None:
        """Keep what was heard.

        Raises:
            DataError: the file cannot be written.
        """
        self._heard[name, text] = heard
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"name": name, "text": text, "heard": heard}, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise DataError([f"{self._file.name}: cannot be written ({error.strerror or error}); free space"]) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


class SpokenRoundTrip:
    """Speaks examples over lines drawn by chance and gives back what the recognizer heard of them.

    changed counts the texts of which other words were heard. For offline use: `hear` blocks and runs its own event
    loop. A text's line depends on the seed drawn from `rng` and on the text, so that the order does not matter.
    """

    def __init__(
        self, voice: Voice, recognizer: Recognizer, rng: Random, cache: RoundTrips | None = None, name: str = "voice"
    ) -> None:
        """`name`: which voice and recognizer these are, so that the cache can tell them from others."""
        self._voice = voice
        self._recognizer = recognizer
        self._seed = rng.getrandbits(32)
        self._cache = cache or RoundTrips(None)
        self._name = f"{name} {self._seed:08x}"
        self.changed = 0

    def hear(self, example: Example) -> Example | None:
        """`example` with the words that were heard; None where nothing was.

        A slot value is where its words are found again, a number also by its digits. Where one is not found, slots
        are not labelled any more (`spans` None), since words of the text may stand for it unseen.

        Raises:
            ModelError: the voice or the recognizer failed.
        """
        heard = self._cache.get(self._name, example.text)
        if heard is None:
            spoken = asyncio.run(self._speak(example.text))
            heard = self._recognizer.recognize(spoken, RecognitionHints()).text.strip() if len(spoken) else ""
            self._cache.put(self._name, example.text, heard)
        if not heard.strip():
            return None
        self.changed += normalised(heard) != normalised(example.text)
        return replace(example, text=heard, spans=found_again(example, heard))

    async def _speak(self, text: str) -> Samples:
        """samples[n] at 16 kHz, as they come off the line; empty where there is nothing to say."""
        pieces = [
            resample(speech.samples, speech.rate, LINE_RATE)
            async for speech in self._voice.speak(text)
            if len(speech.samples)
        ]
        if not pieces:
            return np.zeros(0, dtype=np.float32)
        rng = Random(f"{self._seed}:{text}")
        silence = np.zeros(round(_SILENCE_S * LINE_RATE), dtype=np.float32)
        return telephone(np.concatenate([silence, *pieces, silence]), draw_line(rng), rng.getrandbits(31))


def draw_line(rng: Random) -> LineDamageSpec:
    """A line by chance: mu-law, louder or softer, often with noise, sometimes losing packets."""
    quiet = rng.random() < _QUIET_LINES
    noise = None if quiet else NoiseSpec(rng.choice(BEDS), rng.uniform(*_SNR_DB))
    loss = rng.uniform(*_LOSS_PERCENT) if rng.random() < _LOSSY_LINES else 0.0
    return LineDamageSpec(codec="mulaw", gain_db=rng.uniform(*_GAIN_DB), loss_percent=loss, noise=noise)


def telephone(samples: Samples, line: LineDamageSpec, seed: int) -> Samples:
    """float32 samples[n] at 8 kHz as they come through `line`, at 16 kHz; a lost packet is silence."""
    damage = LineDamage(line, LINE_RATE, seed)
    size = LINE_RATE * TICK_MS // 1000
    padded = np.zeros(-(-len(samples) // size) * size, dtype=np.float32)
    padded[: len(samples)] = samples
    silence = np.zeros(size, dtype=np.int16)
    frames = []
    for start in range(0, len(padded), size):
        sent = damage.frame(to_pcm16(padded[start : start + size]), silence)
        frames += [silence if frame is None else frame for frame in sent]
    if not frames:
        return np.zeros(0, dtype=np.float32)
    return resample(to_float(np.concatenate(frames)), LINE_RATE, HEARD_RATE)


def found_again(example: Example, heard: str) -> tuple[Span, ...] | None:
    """The slot values of `example` in what was heard of it, in their order; None where one is not there, or unknown."""
    if example.spans is None:
        return None
    out: list[Span] = []
    for span in sorted(example.spans, key=lambda span: span.start):
        place = _place(example.text[span.start : span.end], heard, out[-1].end if out else 0)
        if place is None:
            return None
        out.append(Span(*place, span.name))
    return tuple(out)


def _place(value: str, heard: str, begin: int) -> tuple[int, int] | None:
    """Where the words of `value`, or its digits, are in `heard` from `begin` on."""
    wanted = [found.group().lower().replace("’", "'") for found in _HEARD_WORD.finditer(value)]
    words = list(_HEARD_WORD.finditer(heard, begin))
    said = [found.group().lower().replace("’", "'") for found in words]
    for at in range(len(words) - len(wanted) + 1 if wanted else 0):
        if said[at : at + len(wanted)] == wanted:
            return words[at].start(), words[at + len(wanted) - 1].end()
    digits = [run.digits for run in digit_runs(value)]
    if len(digits) == 1:
        for run in digit_runs(heard):
            if run.start >= begin and run.digits == digits[0]:
                return run.start, run.end
    return None
