"""How well a voice is understood: what it reads goes over a telephone line to a recognizer that writes it down."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from agent.lab.measuring.lines import line_of
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.recordings import RATE
from agent.lab.measuring.report import Progress
from agent.lab.measuring.word_errors import WordErrors, character_errors, word_errors, written_out
from audio.resample import resample
from models.contracts import RecognitionHints, Recognizer, Samples
from models.evaluation.figures import Figure, Sample, amount, quantiles
from models.evaluation.plots import interval_plot
from models.evaluation.report import Evaluation
from models.evaluation.tables import Table
from models.languages import base
from models.speakable import sentences

MEASURE = "voice"


class Reader(Protocol):
    """A voice that reads one sentence; blocking."""

    rate: int

    def synthesize(self, text: str) -> Samples:
        """Samples[n] at `rate`."""
        ...


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and of which kind it is: plain, numbers, names."""

    text: str
    kind: str


def read_sentences(path: Path) -> list[Sentence]:
    """The sentences of a file: one a line, kinds in square brackets above them, lines with `#` left out.

    Raises:
        MeasureFailed: it is not there, not UTF-8, or holds no sentence.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MeasureFailed(f"--sentences {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MeasureFailed(f"--sentences {path} is not UTF-8 ({error}); save it as UTF-8") from error
    found, kind = [], "all"
    for line in (line.strip() for line in lines):
        if line.startswith("[") and line.endswith("]"):
            kind = line[1:-1].strip() or "all"
        elif line and not line.startswith("#"):
            found.append(Sentence(line, kind))
    if not found:
        raise MeasureFailed(f"--sentences {path} holds no sentence; write one a line")
    return found


def measure_voice(
    voice: Reader,
    recognizer: Recognizer,
    sentences_read: Sequence[Sentence],
    conditions: Sequence[str],
    model: Mapping[str, str],
    origin: str,
    seed: int,
    progress: Progress,
    language: str = "en",
) -> Evaluation:
    """Let `voice` read every sentence, and the recognizer write down what comes over each line; blocks.

    Both sides are written out as a voice says them before they are compared: numbers, money, dates, addresses. The
    errors are those of the voice and of the recognizer together.

    Raises:
        models.errors.ModelError: voice or recognizer failed.
        MeasureFailed: there is no such condition.
    """
    lines = {condition: line_of(condition) for condition in conditions}
    hints = RecognitionHints(language=language)
    spoken, times, seconds = [], [], 0.0
    for place, one in enumerate(sentences_read):
        progress(place, len(sentences_read), "speaking")
        began = time.perf_counter()
        samples = _read(voice, one.text, language)
        times.append((time.perf_counter() - began) * 1000.0)
        seconds += len(samples) / voice.rate
        spoken.append(resample(samples, voice.rate, RATE))
    sample = Sample(tuple(f"{one.kind}\t{one.text}" for one in sentences_read), seed)
    figures: list[Figure] = []
    rows, wrong = [], []
    for condition, line in lines.items():
        words: list[WordErrors] = []
        letters: list[WordErrors] = []
        for place, (one, samples) in enumerate(zip(sentences_read, spoken, strict=True)):
            progress(place, len(spoken), f"recognizing, {condition}")
            heard = recognizer.recognize(line(samples, seed + place), hints).text.strip()
            said, written = written_out(one.text, language), written_out(heard, language)
            words.append(word_errors(said, written))
            letters.append(character_errors(said, written))
            if words[-1].errors:
                wrong.append((f"{one.kind}, {condition}", one.text, heard))
        figures += _rates(sample, condition, condition, words, letters)
        for kind in dict.fromkeys(one.kind for one in sentences_read):
            places = [place for place, one in enumerate(sentences_read) if one.kind == kind]
            part = [words[place] for place in places]
            each = _rates(
                sample.part(places), f"{condition}_{kind}", f"{kind}, {condition}", part, [letters[p] for p in places]
            )
            total = sum(part, WordErrors())
            counts = (str(len(places)), str(total.words), str(total.errors))
            rows.append((kind, condition, *counts, each[0].shown(), each[0].shown_interval(), each[1].shown()))
    figures += quantiles("synthesis", "time to read a sentence, one thread", times, seed=seed)
    figures.append(
        Figure("real_time", "synthesis, of real time", sum(times) / 1000 / seconds, len(times), "x", "lower")
    )
    columns = ("sentences", "line", "count", "words", "errors", "WER", "95 % interval", "CER")
    tables = (Table("By kind of sentence", columns, tuple(rows)),)
    return Evaluation(
        MEASURE,
        dict(model),
        (f"{origin} ({len(sentences_read)} sentences, {amount(seconds)} s of speech)",),
        "all",
        seed,
        len(sentences_read),
        tuple(figures),
        tables,
        (interval_plot([one for one in figures if one.name.startswith("wer")], "Word error rate by line"),),
        (Table("What was misheard", ("kind and line", "said", "heard"), tuple(wrong)),) if wrong else (),
        ("voice and recognizer err together: a word wrong here may be either's",),
    )


def _read(voice: Reader, text: str, language: str) -> Samples:
    pieces = [voice.synthesize(text[start:end]) for start, end in sentences(text, base(language))]
    if not pieces or not any(len(piece) for piece in pieces):
        raise MeasureFailed(f"the voice says nothing for {text!r}; leave the sentence out")
    return np.concatenate(pieces)


def _rates(
    sample: Sample, name: str, words: str, errors: Sequence[WordErrors], letters: Sequence[WordErrors]
) -> list[Figure]:
    found = []
    for kind, counts in (("wer", errors), ("cer", letters)):
        wrong, said = [one.errors for one in counts], [one.words for one in counts]
        found.append(sample.ratio(f"{kind}_{name.replace(' ', '_')}", f"{kind.upper()}, {words}", wrong, said, "lower"))
    return found
