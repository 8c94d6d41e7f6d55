"""Figures on emotion in voices, with a reader that hears what the test says."""

import numpy as np
import pytest

from models.contracts import VoiceEmotion
from models.emotion import EMOTIONS, LABELS
from models.evaluation.voices import MAIN, Scored, by_reader, summarized, truth_of
from models.training.voice_emotion_data import Clip


def clips(tmp_path, *emotions):
    """A clip of each emotion; every two are of another speaker."""
    return [Clip(tmp_path / f"{n}.wav", emotion, f"s{n // 2}", "text") for n, emotion in enumerate(emotions)]


def told(done, total, what):
    """Progress that nobody looks at."""


def test_each_task_has_its_classes_and_leaves_some_out(tmp_path):
    every = clips(tmp_path, *EMOTIONS)
    assert truth_of(every, "all").tolist() == list(range(8))
    four = [LABELS[place] if place >= 0 else None for place in truth_of(every, "four")]
    assert four == ["neutral", "neutral", "happy", "sad", "angry", None, None, None]
    assert truth_of(every, "anger").tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert truth_of(every, "activation").tolist() == [0, 0, 1, 0, 1, 1, -1, 1]


class Reader:
    """Reads the emotion off the first sample: its place in LABELS; -1 is too little speech."""

    def new_history(self):
        return object()

    def read(self, samples, history):
        place = int(samples[0])
        if place < 0:
            return None
        scores = {label: 0.7 if n == place else 0.1 for n, label in enumerate(LABELS)}
        return VoiceEmotion(LABELS[place], scores, scores["angry"], 0.9 if place in (1, 3) else 0.2)


def test_finished_heads_are_measured_by_line(tmp_path):
    known = clips(tmp_path, "neutral", "happy", "sad", "angry", "calm", "angry")
    heard = (0, 1, 2, 3, 0, 1)
    lines = {
        MAIN: lambda clip, place: np.array([heard[place]], np.float32),
        "noisy telephone": lambda clip, place: np.array([-1 if place == 0 else 0], np.float32),
    }
    scored, times, silent = by_reader(Reader(), known, lines, told)
    assert len(times) == 12
    assert silent == 1
    found = summarized(scored, {"name": "x"}, [tmp_path], "all clips", 0, times)
    values = {one.name: one.value for one in found.figures}
    assert values["four_accuracy"] == pytest.approx(100 * 5 / 6, abs=1e-3)
    assert values["four_uar"] == pytest.approx(100 * 3.5 / 4, abs=1e-3)
    assert values["anger_auroc"] == pytest.approx(100 * (4 + 2) / 8, abs=1e-3)
    assert values["activation_auroc"] == 100.0
    assert values["four_accuracy_noisy_telephone"] == pytest.approx(20.0, abs=1e-3)
    assert found.figure("four_accuracy").n == 6
    assert found.figure("time_p50").n == 12
    assert "3 speakers" in found.notes[-1]
    assert "four_accuracy" in [one.name for one in found.shown]
    assert "four_accuracy_noisy_telephone" not in [one.name for one in found.shown]
    assert len(found.overview().rows) == len(found.shown)
    assert {plot.title for plot in found.plots} >= {"Confusion of four classes", "Reliability: anger"}


def test_a_threshold_of_training_speakers_is_told_with_its_false_alarms(tmp_path):
    scored = Scored("anger", MAIN)
    scored.add(
        clips(tmp_path, "angry", "angry", "sad", "sad"), np.array([0.9, 0.2, 0.6, 0.1]), [True, False, True, False]
    )
    found = summarized([scored], {"name": "x"}, [tmp_path], "5 folds", 0)
    assert found.figure("anger_recall_own").value == 50.0
    assert found.figure("anger_alarms_own").value == 50.0
    assert found.figure("anger_alarms_own").better == "lower"


def test_nothing_to_score_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no clip holds enough speech"):
        summarized([Scored("four", MAIN)], {}, [tmp_path], "all", 0)
