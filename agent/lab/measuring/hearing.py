"""How well the configured recognizer hears: word error rate and time, clean and over a telephone line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.config import Settings
from agent.lab.measuring.recordings import RATE, Recording, telephone
from agent.lab.measuring.report import Progress, Report, Table, figure, spread
from agent.lab.measuring.word_errors import WordErrors, word_errors
from models.contracts import RecognitionHints, Recognizer
from models.recognizer import WhisperRecognizer

CONDITIONS = {"clean": lambda samples: samples, "mu-law": telephone}


@dataclass(slots=True)
class Hearing:
    """What came of one set of recordings under one condition. `wrong`: (said, heard) where they differ."""

    errors: WordErrors = field(default_factory=WordErrors)
    utterances: int = 0
    seconds: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)


def measure_hearing(
    settings: Settings,
    sets: Mapping[str, Sequence[Recording]],
    contexts: Sequence[float],
    command: str,
    progress: Progress,
) -> Report:
    """Recognize every recording of `sets` with each context length; blocks.

    Clean is the recording at its own band, mu-law the same after an 8 kHz G.711 line. One utterance at a time, one
    thread, as one worker of the server's.

    Raises:
        models.errors.ModelError: the recognizer cannot be used.
        MeasureFailed: a recording cannot be read.
    """
    total = len(contexts) * len(CONDITIONS) * sum(len(recordings) for recordings in sets.values())
    done = 0
    rows, figures, details = [], [], []
    for context in contexts:
        recognizer = _recognizer(settings, context)
        for name, recordings in sets.items():
            for condition in CONDITIONS:
                found = Hearing()
                for recording in recordings:
                    hear(recognizer, recording, condition, settings.recognizer.language, found)
                    done += 1
                    progress(done, total, f"{name}, {condition}, {context:g} s")
                rows.append(_row(context, name, condition, found))
                figures.append(_figures(context, name, condition, found))
                details += [
                    f"{name}, {condition}, {context:g} s: said “{said}”, heard “{heard}”"
                    for said, heard in found.wrong[:3]
                ]
    chosen = settings.recognizer
    title = f"{chosen.model}, {chosen.compute_type}, beam {chosen.beam_size}, {chosen.device}, one thread"
    columns = ("speech", "line", "context", "utterances", "words", "errors", "WER", "p50", "p95", "of real time")
    return Report(
        "hearing", command, (Table(title, columns, tuple(rows)),), {"results": figures}, details=tuple(details)
    )


def hear(recognizer: Recognizer, recording: Recording, condition: str, language: str, found: Hearing) -> None:
    """Recognize one recording under `condition` and add what came of it to `found`."""
    samples = CONDITIONS[condition](recording.samples())
    began = time.perf_counter()
    heard = recognizer.recognize(samples, RecognitionHints(language=language)).text.strip()
    found.times_ms.append((time.perf_counter() - began) * 1000.0)
    errors = word_errors(recording.text, heard)
    found.errors += errors
    found.utterances += 1
    found.seconds += len(samples) / RATE
    if errors.errors:
        found.wrong.append((recording.text, heard))


def _recognizer(settings: Settings, context_s: float) -> WhisperRecognizer:
    chosen = settings.recognizer
    return WhisperRecognizer(
        chosen.model,
        device=chosen.device,
        compute_type=chosen.compute_type,
        context_s=context_s,
        beam_size=chosen.beam_size,
        allow_hub=chosen.allow_download,
    )


def _row(context: float, name: str, condition: str, found: Hearing) -> tuple[str, ...]:
    times = spread(found.times_ms)
    return (
        name,
        condition,
        f"{context:g} s",
        str(found.utterances),
        str(found.errors.words),
        str(found.errors.errors),
        f"{found.errors.percent:.1f} %",
        figure(times, "p50", " ms"),
        figure(times, "p95", " ms"),
        f"{sum(found.times_ms) / 1000.0 / max(found.seconds, 1e-9):.2f}",
    )


def _figures(context: float, name: str, condition: str, found: Hearing) -> dict[str, object]:
    return {
        "set": name,
        "line": condition,
        "context_s": context,
        "utterances": found.utterances,
        "seconds": round(found.seconds, 2),
        "words": found.errors.words,
        "substitutions": found.errors.substitutions,
        "deletions": found.errors.deletions,
        "insertions": found.errors.insertions,
        "wer_percent": round(found.errors.percent, 2),
        "recognition_ms": spread(found.times_ms),
        "wrong": [{"said": said, "heard": heard} for said, heard in found.wrong],
    }
