"""`agent evaluate recognizer` and `agent evaluate voice`: what is heard of people, and of the agent itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.evaluating.output import (
    Against,
    Config,
    FailOn,
    Html,
    Json,
    Markdown,
    Output,
    Seed,
    evaluated,
)
from agent.cli.settings import settings_or_leave
from agent.config import CONFIGS
from agent.lab.measuring import recognizing, round_trip
from agent.lab.measuring.lines import DEFAULT, FORMS
from agent.lab.measuring.recordings import cue_lines, read_folder
from agent.lab.measuring.report import Progress
from models.evaluation.report import Evaluation
from models.voice import PiperVoice

_SHEETS = (CONFIGS / "scenarios" / "demo-caller.json", CONFIGS / "scenarios" / "latency.json")
_SENTENCES = CONFIGS / "evaluation" / "voice_sentences.txt"

Condition = Annotated[list[str] | None, typer.Option(help=f"{FORMS}; may be given again.")]


def recognizer(
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder of recorded speech with its words; may be given again.")
    ] = None,
    condition: Condition = None,
    context_s: Annotated[
        list[float] | None, typer.Option(help="Audio context in seconds, 5 to 30; may be given again.", min=5, max=30)
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="A hint to the recognizer: words or style to expect.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most this many utterances a folder, drawn by --seed.", min=1)
    ] = None,
    seed: Seed = 0,
    config: Config = None,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """Word and character error rate and time of the configured recognizer, clean and over telephone lines.

    Measures every --data folder, or, without any, the demo callers' lines: metadata.tsv with the columns file and text,
    LibriSpeech's *.trans.txt, or a JSON list of filename and transcription, with FLAC, WAV or whatever else ffmpeg
    reads.
    """
    settings = settings_or_leave(config)

    def run(progress: Progress) -> Evaluation:
        sets = {place.resolve().name: read_folder(place, limit, seed) for place in data or ()}
        sets = sets or {sheet.stem: cue_lines(sheet) for sheet in _SHEETS}
        contexts = context_s or [settings.recognizer.context_s]
        conditions = list(dict.fromkeys(condition or DEFAULT))
        return recognizing.measure_recognizer(settings, sets, conditions, contexts, seed, progress, prompt)

    evaluated(recognizing.MEASURE, run, Output(html, json_file, markdown, against, fail_on))


def voice(
    sentences: Annotated[
        Path, typer.Option(help="Sentences to read, one a line.", exists=True, dir_okay=False)
    ] = _SENTENCES,
    condition: Condition = None,
    seed: Seed = 0,
    config: Config = None,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """How much of what the configured voice reads the configured recognizer writes down, over a telephone line."""
    settings = settings_or_leave(config)

    def run(progress: Progress) -> Evaluation:
        read = round_trip.read_sentences(sentences)
        progress(0, 1, "loading")
        chosen = settings.recognizer
        model = {"name": settings.voice.model, "recognizer": f"{chosen.model}/{chosen.compute_type}"}
        conditions = list(dict.fromkeys(condition or DEFAULT))
        speaker = PiperVoice(settings.voice.model)
        ear = recognizing.recognizer_of(settings)
        return round_trip.measure_voice(
            speaker, ear, read, conditions, model, sentences.name, seed, progress, chosen.language
        )

    evaluated(round_trip.MEASURE, run, Output(html, json_file, markdown, against, fail_on))
