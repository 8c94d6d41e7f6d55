"""How well a recognizer hears: word and character error rates and time, clean and over telephone lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.config import Settings
from agent.lab.measuring.lines import Line, line_of
from agent.lab.measuring.recordings import RATE, Recording
from agent.lab.measuring.report import Progress, figure, spread
from agent.lab.measuring.word_errors import WordErrors, character_errors, word_errors, written_out
from models.contracts import RecognitionHints, Recognizer
from models.evaluation.figures import Figure, Sample, amount, quantiles
from models.evaluation.plots import interval_plot
from models.evaluation.report import Evaluation
from models.evaluation.tables import Table
from models.languages import ENGLISH, base
from models.recognizer import WhisperRecognizer

MEASURE = "recognizer"
_FEWEST_SPEAKERS = 5
"""Speakers from which intervals are drawn by speaker; of fewer, by utterance."""
COLUMNS = (
    "speech", "line", "context", "utterances", "words", "errors", "WER", "95 % interval", "CER", "p50", "p95",
    "of real time",
)  # fmt: skip


@dataclass(slots=True)
class Heard:
    """What came of recordings under one condition, a row each. wrong: (said, heard) where they differ."""

    recordings: list[Recording] = field(default_factory=list)
    words: list[WordErrors] = field(default_factory=list)
    characters: list[WordErrors] = field(default_factory=list)
    seconds: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Heard) -> None:
        """Count another set in."""
        self.recordings += other.recordings
        self.words += other.words
        self.characters += other.characters
        self.seconds += other.seconds
        self.times_ms += other.times_ms
        self.wrong += other.wrong

    def figures(self, name: str, words: str, seed: int) -> list[Figure]:
        """WER and CER in percent, named wer_NAME and cer_NAME."""
        speakers = [one.speaker for one in self.recordings]
        known = [speaker for speaker in speakers if speaker is not None]
        apart = len(known) == len(speakers) and len(set(known)) >= _FEWEST_SPEAKERS
        sample = Sample(tuple(one.key for one in self.recordings), seed, tuple(known) if apart else None)
        found = []
        for kind, counts, long in (("wer", self.words, "WER"), ("cer", self.characters, "CER")):
            errors, said = [one.errors for one in counts], [one.words for one in counts]
            found.append(sample.ratio(f"{kind}_{name}", f"{long}, {words}", errors, said, "lower"))
        return found


def measure_recognizer(
    settings: Settings,
    sets: Mapping[str, Sequence[Recording]],
    conditions: Sequence[str],
    contexts: Sequence[float],
    seed: int,
    progress: Progress,
    prompt: str | None = None,
) -> Evaluation:
    """Recognize every recording of `sets` under every condition with each context length; blocks.

    One utterance at a time, one thread, as one worker of the server's. prompt: what is given as a hint to all of them.

    Raises:
        models.errors.ModelError: the recognizer cannot be used.
        MeasureFailed: a recording cannot be read, or there is no such condition.
    """
    lines = {condition: line_of(condition) for condition in conditions}
    hints = RecognitionHints(language=settings.recognizer.language, prompt=prompt)
    total = len(contexts) * len(lines) * sum(len(recordings) for recordings in sets.values())
    done = 0
    figures, pooled, rows, details, wrong = [], [], [], [], []
    for context in contexts:
        recognizer = recognizer_of(settings, context)
        suffix = "" if len(contexts) == 1 else f"_{context:g}s"
        for condition, line in lines.items():
            whole = Heard()
            for name, recordings in sets.items():
                found = Heard()
                for place, recording in enumerate(recordings):
                    hear(recognizer, recording, line, seed + place, hints, found)
                    done += 1
                    progress(done, total, f"{name}, {condition}, {context:g} s")
                each = found.figures(f"{condition}_{name}{suffix}", f"{name}, {condition}", seed)
                figures += each
                rows.append(_row(context, name, condition, found, each))
                wrong += [(f"{name}, {condition}, {context:g} s", said, other) for said, other in found.wrong]
                details.append(_details(context, name, condition, found, each))
                whole.add(found)
            of_all = whole.figures(f"{condition}{suffix}", f"{condition}, {context:g} s", seed)
            of_all += quantiles(f"time_{condition}{suffix}", f"time of one utterance, {condition}", whole.times_ms)
            pooled += of_all
            if len(sets) > 1:
                rows.append(_row(context, "all", condition, whole, of_all))
    chosen = settings.recognizer
    return Evaluation(
        MEASURE,
        {
            "name": chosen.model,
            "compute": chosen.compute_type,
            "beam": chosen.beam_size,
            "device": chosen.device,
            "language": chosen.language,
            "prompt": prompt or "",
        },
        tuple(f"{name} ({len(recordings)} utterances)" for name, recordings in sets.items()),
        "all",
        seed,
        sum(len(recordings) for recordings in sets.values()),
        (*pooled, *figures) if len(sets) > 1 else tuple(pooled),
        (Table("Recognition, one thread", COLUMNS, tuple(rows)),),
        (interval_plot([one for one in pooled if one.name.startswith("wer")], "Word error rate by line"),),
        (Table("What was misheard", ("speech", "said", "heard"), tuple(wrong)),) if wrong else (),
        details={"results": details},
        main=tuple(one.name for one in pooled),
    )


def hear(
    recognizer: Recognizer, recording: Recording, line: Line, seed: int, hints: RecognitionHints, found: Heard
) -> None:
    """Recognize one recording over `line` and add what came of it to `found`."""
    samples = line(recording.samples(), seed)
    began = time.perf_counter()
    heard = recognizer.recognize(samples, hints).text.strip()
    found.times_ms.append((time.perf_counter() - began) * 1000.0)
    said, written = recording.text, heard
    if base(hints.language or ENGLISH) != ENGLISH:
        said, written = (written_out(text, hints.language or ENGLISH) for text in (said, written))
    errors = word_errors(said, written)
    found.recordings.append(recording)
    found.words.append(errors)
    found.characters.append(character_errors(said, written))
    found.seconds += len(samples) / RATE
    if errors.errors:
        found.wrong.append((recording.text, heard))


def recognizer_of(settings: Settings, context_s: float | None = None) -> WhisperRecognizer:
    """The configured recognizer, on one thread; with another context length where one is given."""
    chosen = settings.recognizer
    return WhisperRecognizer(
        chosen.model,
        device=chosen.device,
        compute_type=chosen.compute_type,
        context_s=chosen.context_s if context_s is None else context_s,
        beam_size=chosen.beam_size,
        allow_hub=chosen.allow_download,
    )


def _row(context: float, name: str, condition: str, found: Heard, figures: Sequence[Figure]) -> tuple[str, ...]:
    times = spread(found.times_ms)
    errors = sum(found.words, WordErrors())
    return (
        name,
        condition,
        f"{context:g} s",
        str(len(found.words)),
        str(errors.words),
        str(errors.errors),
        figures[0].shown(),
        figures[0].shown_interval(),
        figures[1].shown(),
        figure(times, "p50", " ms"),
        figure(times, "p95", " ms"),
        amount(sum(found.times_ms) / 1000.0 / max(found.seconds, 1e-9), "x"),
    )


def _details(context: float, name: str, condition: str, found: Heard, figures: Sequence[Figure]) -> dict[str, object]:
    errors = sum(found.words, WordErrors())
    return {
        "set": name,
        "line": condition,
        "context_s": context,
        "utterances": len(found.words),
        "seconds": round(found.seconds, 2),
        "words": errors.words,
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
        "wer_percent": figures[0].document()["value"],
        "cer_percent": figures[1].document()["value"],
        "recognition_ms": spread(found.times_ms),
        "wrong": found.wrong,
    }
