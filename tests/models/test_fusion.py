"""Words and voice together: what each can say alone, and what one cannot hide from the other."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts import TextEmotion, VoiceEmotion
from models.errors import ModelDamaged, ModelMissing
from models.fusion import LABELS, FusionWeights, Source, fuse, shipped
from models.training.examples import DataError
from models.training.fusion import Said, fit_source, make_pairs, read_voice, table, write_weights


def words(label: str, sure: float) -> TextEmotion:
    rest = (1.0 - sure) / 3
    return TextEmotion(label, {name: sure if name == label else rest for name in LABELS})


def voice(label: str, sure: float, activation: float = 0.5) -> VoiceEmotion:
    scores = words(label, sure).scores
    return VoiceEmotion(label, scores, scores["angry"], activation)


@pytest.mark.parametrize("label", LABELS)
def test_sure_agreement_sharpens(label: str) -> None:
    said, heard = words(label, 0.85), voice(label, 0.85)
    both = fuse(said, heard)
    assert both.label == label
    assert both.scores[label] > fuse(said, None).scores[label]
    assert both.scores[label] > 0.85


def test_neutral_words_do_not_hide_an_angry_voice() -> None:
    assert fuse(words("neutral", 0.95), voice("angry", 0.97)).label == "angry"
    assert fuse(words("neutral", 0.999), voice("angry", 0.97)).anger == pytest.approx(
        fuse(words("neutral", 0.95), voice("angry", 0.97)).anger, abs=0.1
    )


def test_a_neutral_voice_does_not_hide_angry_words() -> None:
    assert fuse(words("angry", 0.97), voice("neutral", 0.95)).label == "angry"


def test_doubtful_signs_stay_neutral() -> None:
    assert fuse(words("neutral", 0.9), voice("angry", 0.4)).label == "neutral"
    assert fuse(TextEmotion("neutral", {"neutral": 0.55, "angry": 0.45}), None).label == "neutral"


def test_without_a_voice_nothing_is_said_of_activation() -> None:
    assert fuse(words("angry", 0.9), None).activation is None
    assert fuse(words("angry", 0.9), voice("angry", 0.9, activation=0.7)).activation == 0.7


def test_words_without_scores_count_as_their_label_and_unknown_labels_do_not() -> None:
    assert fuse(TextEmotion("angry", {}), None).label == "angry"
    prior = shipped().prior
    assert fuse(TextEmotion("fear", {"fear": 1.0}), None).scores == pytest.approx(
        {label: share / sum(prior.values()) for label, share in prior.items()}
    )


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_scores_are_probabilities_and_anger_grows_with_each_sign(said: float, heard: float, more: float) -> None:
    low, high = sorted((heard, more))
    text = TextEmotion("neutral", {"angry": said, "neutral": 1 - said})
    one, two = (
        fuse(text, VoiceEmotion("angry", {"angry": sure, "neutral": 1 - sure}, sure, 0.5)) for sure in (low, high)
    )
    assert sum(one.scores.values()) == pytest.approx(1.0)
    assert 0.0 <= one.anger <= two.anger + 1e-9 <= 1.0 + 1e-9


def test_one_source_can_only_take_so_much_from_the_other() -> None:
    weights = FusionWeights(
        Source(1.0, dict.fromkeys(LABELS[1:], 0.0), 0.5),
        Source(1.0, dict.fromkeys(LABELS[1:], 0.0), 0.25),
        dict.fromkeys(LABELS, 0.25),
    )
    calm = weights.text.evidence({"neutral": 1.0})
    assert calm["angry"] == pytest.approx(np.log(0.5), abs=1e-3)
    sure = weights.voice.evidence({"angry": 0.9, "neutral": 0.1})
    assert sure["angry"] == pytest.approx(np.log(0.75 * 9 + 0.25))


def test_weights_survive_writing_and_bad_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "fusion.json"
    write_weights(path, shipped())
    assert FusionWeights.load(path) == shipped()
    with pytest.raises(ModelMissing, match=r"none\.json; run python -m models\.training\.fusion"):
        FusionWeights.load(tmp_path / "none.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    for broken, message in (
        ("{", "is not JSON"),
        (json.dumps({**document, "text": {**document["text"], "plain": 1.5}}), "text.plain = 1.5"),
        (json.dumps({**document, "prior": {"neutral": 0.5}}), "'happy' is missing"),
    ):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(ModelDamaged, match=message):
            FusionWeights.load(path)


def source(sharpness: float, count: int, seed: int) -> Said:
    """Scores of a source whose likelihood ratios are known: Gaussian evidence, times `sharpness`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(LABELS), count)
    logs = 2.0 * np.eye(len(LABELS))[truth] + rng.standard_normal((count, len(LABELS))) * np.sqrt(2.0)
    scores = np.exp(sharpness * logs)
    return Said(scores / scores.sum(axis=1, keepdims=True), truth, np.array(["one"] * count))


def test_an_overconfident_source_is_believed_less() -> None:
    honest, loud = (fit_source(source(sharpness, 4000, 0), plain=0.3) for sharpness in (1.0, 3.0))
    assert honest.slope == pytest.approx(1.0, abs=0.12)
    assert loud.slope == pytest.approx(honest.slope / 3, rel=0.15)
    few = source(1.0, 100, 0)
    with pytest.raises(DataError, match="no held-out example is sad, angry"):
        fit_source(few.of(few.truth < 2), plain=0.3)


def test_both_sources_tell_more_than_either() -> None:
    text, heard = source(1.0, 3000, 1), source(2.0, 3000, 2)
    prior = dict(zip(LABELS, (0.7, 0.1, 0.1, 0.1), strict=True))
    weights = FusionWeights(fit_source(text, plain=0.5), fit_source(heard, plain=0.3), prior)
    pairs = make_pairs(source(1.0, 3000, 3), source(2.0, 3000, 4), prior, (0.5, 0.3), 2000, 5)
    rows = [[float(cell) for cell in line.split("|")[2:6]] for line in table(pairs, weights).splitlines()[2:]]
    spoken, sound, both = rows
    assert both[0] > max(spoken[0], sound[0])
    assert both[1] < min(spoken[1], sound[1])
    assert both[2] > max(spoken[2], sound[2])


def test_scores_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", scores=np.ones((2, 4)))
    with pytest.raises(DataError, match=r"odd\.npz: cannot be read .*; make it with agent train emotion --scores"):
        read_voice(tmp_path / "odd.npz")
