from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from agent.lab.cues import read_cues
from agent.lab.measuring.pauses import trimmed, word_gap
from audio.codec import Pcm16
from audio.resample import resample, to_float
from models.contracts import Recognition, Samples, Slot, UnderstandingContext, Understood
from models.errors import ModelDamaged, ModelMissing
from models.turn import HANGING, LEADING, TurnEnd, TurnModel

SCENARIOS = Path(__file__).parents[2] / "configs" / "scenarios"
LEADS = frozenset({"complaint", "deny", "greeting"})
YES = Slot("yes_no", True, "yes", (0, 3))
NUMBER = Slot("order_number", "42719", "42719", (0, 5))
CASES = [
    (Understood("order_status", 1.0, complete=0.9), UnderstandingContext(), 0.9),
    (Understood("complaint", 1.0, complete=0.9), UnderstandingContext(), LEADING),
    (Understood("complaint", 1.0, complete=0.2), UnderstandingContext(), 0.2),
    (Understood("deny", 1.0, slots=(YES,), complete=0.95), UnderstandingContext(asked_yes_no=True), 0.95),
    (Understood("deny", 1.0, slots=(YES,), complete=0.95), UnderstandingContext(), LEADING),
    (
        Understood("greeting", 1.0, slots=(NUMBER,), complete=0.95),
        UnderstandingContext(expected_slots=("order_number",)),
        0.95,
    ),
]


@pytest.fixture(scope="module")
def model() -> TurnModel:
    return TurnModel()


def heard(closing: float | None, text: str = "I want to return the boots.") -> Recognition:
    return Recognition(text, average_log_probability=-0.3, closing=closing)


def spoken() -> Samples:
    """A line of the demo's caller, said to its end."""
    return lines()[0]


@lru_cache
def lines() -> list[Samples]:
    """The lines of the demo's caller, float32 at 16 kHz, a quarter of a second of silence after each."""
    sheet = read_cues(SCENARIOS / "demo-caller.json", SCENARIOS / "demo-caller.wav")
    return [waited(trimmed(sheet.audio(cue))) for cue in sheet.cues]


@lru_cache
def broken_off() -> list[Samples]:
    """The same lines up to the quietest gap in the middle, where there is one."""
    sheet = read_cues(SCENARIOS / "demo-caller.json", SCENARIOS / "demo-caller.wav")
    found = []
    for cue in sheet.cues:
        audio = trimmed(sheet.audio(cue))
        gap = word_gap(audio, list(range(0, len(audio) // 8, 50)))
        if gap is not None:
            found.append(waited(trimmed(audio[:gap])))
    return found


def waited(audio: Pcm16) -> Samples:
    return resample(to_float(np.concatenate([audio, np.zeros(2_000, np.int16)])), 8_000, 16_000)


@pytest.mark.parametrize(("understood", "context", "expected"), CASES)
def test_typed_text_is_judged_by_its_words_and_leading_sentences_are_seldom_the_whole_turn(
    model: TurnModel, understood: Understood, context: UnderstandingContext, expected: float
) -> None:
    assert model.probability(understood, context, leading=LEADS).probability == pytest.approx(expected, abs=1e-3)


def test_the_surer_the_recognizer_that_a_sentence_ends_the_likelier_the_end(model: TurnModel) -> None:
    understood = Understood("return_item", 1.0, complete=0.7)
    found = [
        model.probability(understood, recognition=heard(closing)).probability for closing in (-4.0, -1.0, 1.0, 3.0)
    ]
    assert found == sorted(found)
    assert found[0] < 0.5 < found[-1]


def test_words_that_end_nothing_count_against_the_end(model: TurnModel) -> None:
    found = [
        model.probability(Understood("return_item", 1.0, complete=complete), recognition=heard(1.0)).probability
        for complete in (0.05, 0.4, 0.95)
    ]
    assert found == sorted(found)
    assert found[-1] - found[0] > 0.2


def test_lines_said_to_their_end_sound_more_like_an_end_than_broken_off_ones(model: TurnModel) -> None:
    understood = Understood("return_item", 1.0, complete=0.7)

    def judged(audio: Samples) -> TurnEnd:
        return model.probability(understood, recognition=heard(1.0), samples=audio)

    ends, breaks = [judged(audio) for audio in lines()], [judged(audio) for audio in broken_off()]
    assert len(breaks) >= 3
    for key in (lambda end: end.parts["voice"], lambda end: end.probability):
        assert np.median([key(end) for end in ends]) > np.median([key(end) for end in breaks]) + 0.1


def test_a_rule_outweighs_recognizer_and_voice(model: TurnModel) -> None:
    understood = Understood("give_information", 1.0, complete=0.08, ruled=True)
    end = model.probability(understood, recognition=heard(4.0), samples=spoken())
    assert end.probability == pytest.approx(0.08, abs=1e-3)
    assert end.parts["ruled"] == 1.0
    assert "closing" not in end.parts


def test_a_leading_sentence_stays_leading_however_it_sounds(model: TurnModel) -> None:
    understood = Understood("complaint", 1.0, complete=0.99)
    end = model.probability(understood, recognition=heard(4.0), samples=spoken(), leading=LEADS)
    assert end.probability <= LEADING
    assert end.parts["leading"] == 1.0


def test_parts_name_what_was_there(model: TurnModel) -> None:
    understood = Understood("return_item", 1.0, complete=0.7)
    assert set(model.probability(understood).parts) == {"words"}
    assert set(model.probability(understood, recognition=heard(None)).parts) == {"words"}
    assert set(model.probability(understood, recognition=heard(1.0)).parts) == {"words", "closing"}
    both = model.probability(understood, recognition=heard(1.0), samples=spoken())
    assert set(both.parts) == {"words", "closing", "voice"}


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(16_000), np.full(2_000, 0.1)])
def test_too_little_voice_leaves_it_to_the_words(model: TurnModel, samples: Samples) -> None:
    understood = Understood("return_item", 1.0, complete=0.7)
    with_voice = model.probability(understood, recognition=heard(1.0), samples=samples.astype(np.float32))
    assert with_voice == model.probability(understood, recognition=heard(1.0))


def test_missing_and_damaged_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"python -m models\.training\.turn"):
        TurnModel(tmp_path / "turn.npz")
    (tmp_path / "turn.npz").write_bytes(b"nothing")
    with pytest.raises(ModelDamaged, match="train them again"):
        TurnModel(tmp_path / "turn.npz")


def test_words_that_hang_in_the_air_are_no_end_however_they_sound(model: TurnModel) -> None:
    understood = Understood("order_status", 1.0, complete=0.05)
    sure = replace(heard(1.0), closing=5.0)
    assert model.probability(understood, recognition=sure, samples=spoken()).probability <= HANGING
    assert model.probability(replace(understood, complete=0.5), recognition=sure).probability > HANGING


def test_in_another_language_the_voice_counts_beside_the_words_and_english_marks_do_not(model: TurnModel) -> None:
    understood = Understood("order_status", 1.0, complete=0.6)
    chinese = Recognition("我想退货", average_log_probability=-0.3, closing=-4.0, language="zh")
    without = model.probability(understood, recognition=chinese)
    assert without.probability == pytest.approx(0.6)
    assert set(without.parts) == {"words"}
    with_voice = model.probability(understood, recognition=chinese, samples=spoken())
    assert set(with_voice.parts) == {"words", "voice"}
    assert (with_voice.probability > 0.6) == (with_voice.parts["voice"] > 0)
    hanging = model.probability(replace(understood, complete=0.05), recognition=chinese, samples=spoken())
    assert hanging.probability <= HANGING
