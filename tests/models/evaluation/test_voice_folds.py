"""The cross-validation over speakers as scores of clips: each is about the clip that it stands beside."""

import numpy as np

from models.emotion import EMOTIONS
from models.evaluation.voice_folds import scored_of
from models.evaluation.voices import MAIN, summarized
from models.training.voice_emotion import fit_heads
from models.training.voice_emotion_data import Clip, Dataset
from models.training.voice_emotion_report import Report

WIDTH = 12
SPEAKERS = 8


def dataset(tmp_path, variants, seed):
    """Clips of every emotion by each speaker, whose features tell the emotion but for noise."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(len(EMOTIONS), WIDTH))
    clips = [
        Clip(tmp_path / f"{speaker}-{emotion}-{take}.wav", emotion, f"s{speaker}", "hello")
        for speaker in range(SPEAKERS)
        for emotion in EMOTIONS
        for take in range(2)
    ]
    means = np.stack([centres[EMOTIONS.index(clip.emotion)] for clip in clips])
    features = {variant: (means + 0.5 * random.normal(size=means.shape)).astype(np.float32) for variant in variants}
    return Dataset(tuple(clips), features)


def test_what_was_said_of_a_clip_is_told_of_that_clip(tmp_path):
    train, test = dataset(tmp_path, ("telephone", "noisy"), 1), dataset(tmp_path, ("noisy",), 2)
    missing = train.clips[5].path
    test = test.only({clip.path for clip in test.clips} - {missing})
    both = train.only({clip.path for clip in test.clips})
    report = Report()
    half = np.flatnonzero(np.isin(both.speakers, [f"s{n}" for n in range(SPEAKERS // 2)]))
    for fitted in (half, np.setdiff1d(np.arange(len(both.clips)), half)):
        held = np.setdiff1d(np.arange(len(both.clips)), fitted)
        heads = fit_heads(both, fitted)
        report.add(heads, both, held, "telephone", "none", "telephone, no history")
        report.add(heads, test, held, "noisy", "none", "noisy telephone, no history")
    scored = {(one.task, one.condition): one for one in scored_of(report, train, test)}
    assert {task for task, _ in scored} == {"all", "four", "anger", "activation"}
    assert {name for _, name in scored} == {MAIN, "noisy telephone, no history"}
    for one in (scored["all", MAIN], scored["anger", MAIN]):
        assert sorted(clip.path for clip in one.clips) == sorted(clip.path for clip in both.clips)
    for task, name in (("all", "all emotions"), ("four", "four labels"), ("anger", "anger")):
        answers = report.together(name, "telephone, no history")
        assert [int(label) for label in answers.truth] == scored[task, MAIN].truth
        assert len(scored[task, MAIN].passed) == (0 if answers.passed is None else len(answers.truth))
    found = summarized(list(scored.values()), {"name": "x"}, [tmp_path], "5 folds by speaker", 0)
    assert found.figure("all_accuracy").value > 80.0
    assert found.figure("four_accuracy").value > 80.0
    assert found.figure("anger_auroc").value > 90.0
    assert found.figure("anger_alarms_own").value < 20.0
