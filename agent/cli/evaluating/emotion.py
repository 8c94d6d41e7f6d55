"""`agent evaluate emotion`: of voices, and of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agent.cli.evaluating.output import (
    Against,
    Config,
    FailOn,
    Html,
    Json,
    Limit,
    Markdown,
    Output,
    Seed,
    evaluated,
)
from agent.cli.evaluating.understanding import text_model
from agent.cli.settings import settings_or_leave
from agent.config import Settings
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Progress
from models.contracts import Samples
from models.emotion import VoiceEmotionReader
from models.encoder import SentenceEncoder
from models.evaluation import voices
from models.evaluation.frozen import EmotionHead
from models.evaluation.report import Evaluation
from models.evaluation.texts import Plan, evaluate
from models.text_emotion import TextEmotionModel
from models.text_model import TextModel
from models.training.examples import Example, Splits
from models.training.readers import read_examples
from models.training.voice_emotion_data import Clip, load_dataset, read_audio, read_folders, read_noises
from models.training.voice_emotion_lines import TESTED, TRAINED, vary


def emotion(
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder of clips with metadata.tsv (file, emotion, actor[, text]).")
    ] = None,
    text: Annotated[Path | None, typer.Option(help="Texts labelled with emotions, instead of clips.")] = None,
    heads: Annotated[
        Path | None, typer.Option(help="Measure these finished heads instead of cross-validating.", dir_okay=False)
    ] = None,
    served: Annotated[bool, typer.Option("--served", help="Measure the heads the configuration serves.")] = False,
    noise: Annotated[list[Path] | None, typer.Option(help="Folder of noises; half train, half test.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder to keep measured features in.", file_okay=False)] = None,
    model: Annotated[
        str | None, typer.Option(help="With --text: folder or version of a trained model, else the text emotion head.")
    ] = None,
    language: Annotated[str, typer.Option(help="With --text: whose text emotion head.")] = "en",
    split: Annotated[str, typer.Option(help="With --text: train, validation or test.")] = "test",
    ignore_unknown_labels: Annotated[
        bool, typer.Option("--ignore-unknown-labels", help="With --text: leave out what the model was not trained on.")
    ] = False,
    limit: Limit = None,
    seed: Seed = 0,
    config: Config = None,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """Emotion of voices (--data) over a telephone line, on speakers held out; or of words (--text).

    Without --heads, heads are trained and tested by cross-validation over speakers; with it, finished ones read the
    clips, which tells something only of clips they were not trained on.
    """
    settings = settings_or_leave(config)

    def run(progress: Progress) -> Evaluation:
        if (data is None) == (text is None):
            raise MeasureFailed("give clips with --data or texts with --text, one of the two")
        if text is not None:
            plan = Plan(split, seed, limit, ignore_unknown_labels)
            return _of_words(settings, text, model, language, plan, progress)
        folders = list(data or ())
        try:
            if heads is not None or served:
                file = heads or settings.emotion.heads
                reader = VoiceEmotionReader(heads=file) if file else VoiceEmotionReader()
                name = file.name if file else "the embedded heads"
                return _of_heads(reader, name, folders, noise or (), limit, seed, progress)
            from models.evaluation.voice_folds import scored_of
            from models.training.voice_emotion_report import FOLDS
            from models.training.voice_emotion_report import evaluate as cross_validate

            noises = read_noises(noise or (), seed)
            clips = _drawn(read_folders(folders), limit, seed)
            train = load_dataset(clips, TRAINED, noises[0::2], seed, cache, progress)
            test = load_dataset(clips, TESTED, noises[1::2], seed + 1, cache, progress)
            scored = scored_of(cross_validate(train, test, progress), train, test)
            about = {"name": "voice emotion", "method": "heads trained anew in every fold"}
            return voices.summarized(scored, about, folders, f"{FOLDS} folds by speaker", seed)
        except ValueError as error:
            raise MeasureFailed(str(error)) from error

    evaluated(voices.MEASURE, run, Output(html, json_file, markdown, against, fail_on))


def _of_words(
    settings: Settings, text: Path, model: str | None, language: str, plan: Plan, progress: Progress
) -> Evaluation:
    encoder = SentenceEncoder(cache_size=50_000)
    chosen: TextModel
    if model is None:
        weights = TextEmotionModel(encoder, language=language)
        chosen = EmotionHead(weights, encoder, encoder.identity, f"embedded, {language}")
    else:
        chosen, _ = text_model(settings, model, None, encoder)
    splits = _emotions_alone(read_examples(text))
    return replace(evaluate(chosen, splits, text.name, plan, progress), measure=voices.MEASURE)


def _of_heads(
    reader: VoiceEmotionReader,
    name: str,
    folders: list[Path],
    noise: Sequence[Path],
    limit: int | None,
    seed: int,
    progress: Progress,
) -> Evaluation:
    clips = _drawn(read_folders(folders), limit, seed)
    noises = read_noises(noise, seed)

    def plain(clip: Clip, place: int) -> Samples:
        return vary(read_audio(clip.path), "telephone", 0.0, noises[0], np.random.default_rng(seed))

    def noisy(clip: Clip, place: int) -> Samples:
        random = np.random.default_rng([seed, place])
        return vary(read_audio(clip.path), "noisy", 0.0, noises[int(random.integers(len(noises)))], random)

    scored, times, silent = voices.by_reader(reader, clips, {voices.MAIN: plain, "noisy telephone": noisy}, progress)
    notes = [f"{name} were measured as they are: figures on clips they were trained on say nothing of other speakers"]
    if silent:
        notes.append(f"{silent} readings had too little speech and were left out")
    about = {"name": "voice emotion", "version": name}
    return voices.summarized(scored, about, folders, "all clips", seed, times, notes)


def _drawn(clips: tuple[Clip, ...], limit: int | None, seed: int) -> tuple[Clip, ...]:
    if limit is None or limit >= len(clips):
        return clips
    places = np.sort(np.random.default_rng(seed).permutation(len(clips))[:limit])
    return tuple(clips[int(place)] for place in places)


def _emotions_alone(splits: Splits) -> Splits:
    """The examples without intents and slots, which are measured by `agent evaluate understanding`."""
    train, validation, test = (
        tuple(Example(one.text, emotions=one.emotions, origin=one.origin) for one in part if one.emotions)
        for part in (splits.train, splits.validation, splits.test)
    )
    return Splits(train, validation, test, splits.sources)
