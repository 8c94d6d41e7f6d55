"""A tiny encoder and data that it learns, for training with the real code path."""

import pytest
import tinybase

from models.training.understanding.recipe import Recipe


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return tinybase.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def quick(base):
    """A recipe that learns `examples()` in a second, the same in every run."""

    def make(**more) -> Recipe:
        values = {
            "base": str(base), "epochs": 4, "batch_size": 16, "learning_rate": 3e-3, "head_learning_rate": 2e-2,
            "few_shot": False, "workers": 1, "noise": 0.0, "precision": "float32", "head_member": 0.0, "warm_up": 0.1,
        }  # fmt: skip
        return Recipe(**{**values, **more})

    return make


@pytest.fixture(scope="session")
def rows():
    """(training, validation) examples; validation has words that training has, in other pairs."""
    everything = tinybase.examples()
    held = [example for number, example in enumerate(everything) if number % 7 == 5]
    return [example for example in everything if example not in held], held
