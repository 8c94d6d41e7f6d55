"""The cross-validation of the voice emotion heads, as scores that a report is made of."""

from __future__ import annotations

import numpy as np

from models.emotion import EMOTIONS
from models.evaluation.metrics import Floats
from models.evaluation.voices import MAIN, Scored, truth_of
from models.training.voice_emotion import known_emotions
from models.training.voice_emotion_data import Dataset
from models.training.voice_emotion_report import MAIN as MAIN_THERE
from models.training.voice_emotion_report import Report

_TASKS = {"all emotions": "all", "four labels": "four", "anger": "anger", "activation": "activation"}


def scored_of(report: Report, train: Dataset, test: Dataset) -> list[Scored]:
    """What `models.training.voice_emotion_report.evaluate` found of `train` and `test`, clip by clip."""
    data = train.only({clip.path for clip in train.clips} & {clip.path for clip in test.clips})
    emotions = known_emotions(data)
    found = []
    for task, name in report.answers:
        answers = report.together(task, name)
        scored = Scored(_TASKS[task], MAIN if name == MAIN_THERE else name)
        clips = [data.clips[int(row)] for row in np.concatenate(report.rows[name])]
        known = np.flatnonzero(truth_of(clips, scored.task) >= 0)
        probability = np.exp(answers.scores) if answers.scores.ndim == 2 else answers.scores
        if scored.task == "all":
            probability = _placed(probability, emotions)
        passed = [] if answers.passed is None else answers.passed.tolist()
        scored.add([clips[int(row)] for row in known], probability, passed)
        found.append(scored)
    return found


def _placed(probability: Floats, emotions: tuple[str, ...]) -> Floats:
    """float64[n, emotions] in the columns of `EMOTIONS`; those the heads do not know have none."""
    out = np.zeros((len(probability), len(EMOTIONS)))
    out[:, [EMOTIONS.index(name) for name in emotions]] = probability
    return out
