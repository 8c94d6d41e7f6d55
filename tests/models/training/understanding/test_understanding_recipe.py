"""Recipes: what they refuse, and that every setting says why it is as it is."""

import inspect
import re

import pytest

from models.training.examples import DataError
from models.training.understanding.pipeline import noise_rates, rewriter
from models.training.understanding.recipe import Recipe, recipe_from


def test_what_is_not_given_is_the_default() -> None:
    assert recipe_from({}, "r") == Recipe()
    assert recipe_from({"epochs": 3}, "r") == Recipe(epochs=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "r.yaml: epoch = 3: Extra inputs are not permitted"),
        ({"epochs": 0}, "r.yaml: epochs = 0: Input should be greater than or equal to 1"),
        ({"learning_rate": "fast"}, "r.yaml: learning_rate = 'fast': Input should be a valid number"),
        (
            {"method": "magic"},
            "r.yaml: method = 'magic': Input should be 'full', 'lora', 'adalora', 'prefix' or 'head'",
        ),
        ({"noise": 1.5}, "r.yaml: noise = 1.5: Input should be less than or equal to 1"),
        ({"networks": 2, "method": "head"}, "r.yaml: networks = 2 needs a network, method is head; choose full or"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(values: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        recipe_from(values, "r.yaml")


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(DataError) as error:
        recipe_from({"epochs": 0, "dropout": 2, "speed": 1}, "r")
    assert len(error.value.problems) == 3


def test_settings_that_decide_results_say_why() -> None:
    lines = inspect.getsource(Recipe).splitlines()
    fields = [(n, line) for n, line in enumerate(lines) if re.match(r"    [a-z_]+: .* = ", line)]
    assert len(fields) == len(Recipe.model_fields)
    plain = {re.match(r" +([a-z_]+)", line)[1] for n, line in fields if not lines[n + 1].strip().startswith('"""')}
    # These stand in a group with the reason, or are the usual values of what was cited beside them.
    assert plain <= {
        "intent_weight", "slot_weight", "contrastive_temperature", "teacher_weight", "teacher_temperature", "lora_rank",
        "lora_alpha", "seed",
    }  # fmt: skip


def test_noise_is_drawn_anew_each_epoch_and_the_same_for_a_seed() -> None:
    from models.training.examples import Example

    example = Example("i would like to return the green tent that you sent to me on monday", "return", origin="f:1")
    draws = [rewriter(Recipe(noise=1.0))(example, epoch).text for epoch in range(12)]
    assert draws == [rewriter(Recipe(noise=1.0))(example, epoch).text for epoch in range(12)]
    assert len(set(draws)) > 3
    assert draws != [rewriter(Recipe(noise=1.0, seed=1))(example, epoch).text for epoch in range(12)]
    assert rewriter(Recipe(noise=0.0)) is None
    assert noise_rates(Recipe(noise=0.2))["paraphrase"] == 0.0
