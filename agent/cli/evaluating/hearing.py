"""`agent evaluate recognizer` and `agent evaluate voice`: what is heard of people, and of the agent itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
from agent.config import CONFIGS, Settings
from agent.lab.measuring import recognizing, round_trip
from agent.lab.measuring.lines import DEFAULT, FORMS
from agent.lab.measuring.recordings import cue_lines, read_folder
from agent.lab.measuring.report import Progress
from models.evaluation.report import Evaluation
from models.languages import CHINESE, ENGLISH, KNOWN, base
from models.voice import PiperVoice
from models.voice_zh import ChineseVoice

_SHEETS = (CONFIGS / "scenarios" / "demo-caller.json", CONFIGS / "scenarios" / "latency.json")
_SENTENCES = {
    ENGLISH: CONFIGS / "evaluation" / "voice_sentences.txt",
    CHINESE: CONFIGS / "evaluation" / "voice_sentences_zh.txt",
}
Language = Annotated[str | None, typer.Option(help="en or zh; without it, the configured one.")]

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
    language: Language = None,
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
    reads. --language zh measures the recognizer of other languages (recognizer.multilingual); each Chinese character
    counts as a word.
    """
    settings = _hearing(settings_or_leave(config), language)

    def run(progress: Progress) -> Evaluation:
        sets = {place.resolve().name: read_folder(place, limit, seed) for place in data or ()}
        sets = sets or {sheet.stem: cue_lines(sheet) for sheet in _SHEETS}
        contexts = context_s or [settings.recognizer.context_s]
        conditions = list(dict.fromkeys(condition or DEFAULT))
        return recognizing.measure_recognizer(settings, sets, conditions, contexts, seed, progress, prompt)

    evaluated(recognizing.MEASURE, run, Output(html, json_file, markdown, against, fail_on))


def voice(
    sentences: Annotated[
        Path | None, typer.Option(help="Sentences to read, one a line.", exists=True, dir_okay=False)
    ] = None,
    condition: Condition = None,
    language: Language = None,
    seed: Seed = 0,
    config: Config = None,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """How much of what the configured voice reads the configured recognizer writes down, over a telephone line."""
    settings = _hearing(settings_or_leave(config), language)
    spoken = base(settings.recognizer.language)
    if spoken not in _SENTENCES and sentences is None:
        raise typer.BadParameter(f"there are no sentences in {spoken}; give --sentences FILE", param_hint="--language")
    source = sentences or _SENTENCES[spoken]

    def run(progress: Progress) -> Evaluation:
        read = round_trip.read_sentences(source)
        progress(0, 1, "loading")
        chosen = settings.recognizer
        speaker: round_trip.Reader
        if spoken == CHINESE:
            name, speaker = f"kokoro-82m/{settings.voice.chinese}", ChineseVoice(settings.voice.chinese)
        else:
            name, speaker = settings.voice.model, PiperVoice(settings.voice.model)
        model = {"name": name, "recognizer": f"{chosen.model}/{chosen.compute_type}", "language": spoken}
        conditions = list(dict.fromkeys(condition or DEFAULT))
        ear = recognizing.recognizer_of(settings)
        return round_trip.measure_voice(speaker, ear, read, conditions, model, source.name, seed, progress, spoken)

    evaluated(round_trip.MEASURE, run, Output(html, json_file, markdown, against, fail_on))


def _hearing(settings: Settings, language: str | None) -> Settings:
    """`settings` with the recognizer that hears `language`."""
    chosen = settings.recognizer
    if language is None or base(language) == base(chosen.language):
        return settings
    if base(language) not in KNOWN:
        raise typer.BadParameter(f"{language!r} is not spoken; give {' or '.join(KNOWN)}", param_hint="--language")
    used: dict[str, Any] = {"language": base(language)}
    if base(language) != ENGLISH:
        used |= {"model": chosen.multilingual, "beam_size": chosen.multilingual_beam_size}
    return settings.model_copy(update={"recognizer": chosen.model_copy(update=used)})
