"""The training loop on a tiny encoder: what it learns, when it stops, and what is left when it is broken off."""

import logging
import resource
from dataclasses import replace

import numpy as np
import pytest

from models.contracts import OUT_OF_SCOPE
from models.errors import ModelMissing
from models.training.examples import Example

pytestmark = pytest.mark.train


class Broken(Exception):
    """Stands for a kill."""


def fit(rows, recipe, work, **more):
    from models.training.understanding.trainer import train

    return train(*rows, recipe, work, **more)


def weights(trained):
    return {name: value.numpy() for name, value in trained.network.state_dict().items()}


def differences(a, b):
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


def breaking(step):
    """Stops training when `step` is done."""

    def watch(at):
        if at.step == step and at.figures is None:
            raise Broken

    return watch


def test_intents_slots_and_what_is_outside_are_learnt(rows, quick, tmp_path):
    steps = []
    trained = fit(rows, quick(epochs=16, slot_weight=3.0, patience=0), tmp_path, watch=steps.append)
    assert trained.labels.intents == ("cancel", "return", "where", OUT_OF_SCOPE)
    assert trained.labels.slots == ("thing",)
    assert trained.figures.values == {"accuracy": 1.0, "outside_auroc": 1.0, "slot_f1": 1.0}
    assert trained.figures.score == 1.0
    losses = [sum(step.losses.values()) for step in steps if step.losses]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert [step.step for step in steps if step.losses] == list(range(1, len(losses) + 1))
    assert len(trained.history) == len([step for step in steps if step.figures])
    assert max(step.rate for step in steps) <= 3e-3
    assert list((tmp_path / "logs").iterdir())


def test_the_same_seed_gives_the_same_network(rows, quick, tmp_path):
    first = fit(rows, quick(epochs=1), tmp_path / "1")
    assert differences(weights(first), weights(fit(rows, quick(epochs=1), tmp_path / "2"))) == 0.0
    assert differences(weights(first), weights(fit(rows, quick(epochs=1, seed=1), tmp_path / "3"))) > 0.01


def test_it_stops_early_and_keeps_the_best_epoch(rows, quick, tmp_path):
    # Nothing is learnt at this rate, so no epoch is better than the first; later ones of equal score count as better.
    recipe = quick(epochs=9, patience=2, learning_rate=1e-12, head_learning_rate=1e-12)
    held = rows[1]
    wrong = [replace(example, intent="where" if example.intent != "where" else "return") for example in held]
    learnt = fit((rows[0], wrong), quick(epochs=9, patience=2), tmp_path / "worse")
    scores = [sum(values[name] for name in ("accuracy", "slot_f1")) / 2 for values in learnt.history]
    best = max(range(len(scores)), key=lambda n: (scores[n], n))
    assert learnt.epochs == best + 1
    assert len(scores) == min(9, best + 3)
    assert len(fit((rows[0], held), recipe, tmp_path / "equal").history) == 9
    assert len(fit((rows[0], held), recipe.model_copy(update={"patience": 0}), tmp_path / "never").history) == 9


def test_a_finished_run_that_stopped_early_is_not_trained_on(rows, quick, tmp_path):
    wrong = [replace(example, intent="where" if example.intent != "where" else "return") for example in rows[1]]
    recipe = quick(epochs=30, patience=1)
    first = fit((rows[0], wrong), recipe, tmp_path)
    assert len(first.history) < 30
    steps = []
    again = fit((rows[0], wrong), recipe, tmp_path, watch=steps.append)
    assert steps == []
    assert again.history == first.history
    assert differences(weights(again), weights(first)) == 0.0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"average": 0.9, "patience": 0},
        {"accumulate": 2},
        {"method": "adalora", "lora_rank": 4, "patience": 0},
    ],
)
def test_a_run_that_is_broken_off_goes_on_to_the_same_weights(rows, quick, tmp_path, monkeypatch, settings):
    from models.training.understanding import trainer

    monkeypatch.setattr(trainer, "CHECKPOINT_STEPS", 3)
    recipe = quick(dropout=0.2, noise=0.3, **settings)
    whole = fit(rows, recipe, tmp_path / "whole")
    # The checkpoint after step 6 is in the middle of an epoch of 7 batches, 4 steps where two are taken together.
    with pytest.raises(Broken):
        fit(rows, recipe, tmp_path / "cut", watch=breaking(8))
    steps = []
    rest = fit(rows, recipe, tmp_path / "cut", watch=steps.append)
    assert steps[0].step > 6
    assert rest.history == whole.history
    assert differences(weights(rest), weights(whole)) < 1e-6


def test_checkpoints_of_other_recipes_data_and_ruins_are_not_taken(rows, quick, tmp_path, monkeypatch, caplog):
    from models.training.understanding import trainer

    monkeypatch.setattr(trainer, "CHECKPOINT_STEPS", 2)
    caplog.set_level(logging.WARNING)

    def first_step(rows, recipe):
        steps = []

        def watch(step):
            steps.append(step.step)
            raise Broken

        with pytest.raises(Broken):
            fit(rows, recipe, tmp_path, watch=watch)
        return steps[0]

    with pytest.raises(Broken):
        fit(rows, quick(), tmp_path, watch=breaking(4))
    # Broken off in step 4, before its checkpoint.
    assert first_step(rows, quick()) == 3
    assert first_step(rows, quick(dropout=0.2)) == 1
    assert "is of another recipe or other data" in caplog.text
    assert first_step((rows[0][1:], rows[1]), quick()) == 1
    unmarked = [replace(rows[0][0], spans=()), *rows[0][1:]]
    assert first_step((unmarked, rows[1]), quick()) == 1
    (tmp_path / "checkpoint.pt").write_bytes(b"ruin")
    assert first_step(rows, quick()) == 1
    assert "cannot be read" in caplog.text


def test_a_loss_that_is_not_a_number_ends_training_with_its_place(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import trainer
    from models.training.understanding.checkpoint import TrainingFailed

    monkeypatch.setattr(trainer, "CHECKPOINT_STEPS", 1)
    with pytest.raises(TrainingFailed) as error:
        fit(rows, quick(learning_rate=1e30, head_learning_rate=1e30), tmp_path)
    message = str(error.value)
    assert "the loss is not a number in epoch 1, batch " in message
    assert "first example: 'rows:" in message
    assert "intent nan" in message
    assert "Lower learning_rate or use precision: float32. The last checkpoint was kept" in message
    assert (tmp_path / "checkpoint.pt").stat().st_size > 0


def test_a_full_disk_keeps_the_checkpoint_before(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import trainer
    from models.training.understanding.checkpoint import TrainingFailed

    monkeypatch.setattr(trainer, "CHECKPOINT_STEPS", 2)
    with pytest.raises(Broken):
        fit(rows, quick(), tmp_path, watch=breaking(4))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))

    try:
        with pytest.raises(TrainingFailed, match=r"cannot be written \(.*MB free\); the checkpoint before it was kept"):
            fit(rows, quick(), tmp_path, watch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("checkpoint")] == ["checkpoint.pt"]


@pytest.mark.parametrize("method", ["full", "lora", "prefix"])
def test_adversarial_training_leaves_frozen_embeddings_where_they_are(rows, quick, tmp_path, method):
    from models.training.understanding.network import merged

    def embeddings(trained):
        return merged(trained.network).encoder.get_input_embeddings().weight.detach().numpy()

    plain = fit(rows, quick(epochs=1, method=method), tmp_path / "plain")
    hard = fit(rows, quick(epochs=1, method=method, adversarial="fgm"), tmp_path / "hard")
    np.testing.assert_array_equal(embeddings(plain), embeddings(hard))
    heads = [trained.network.intent.weight.detach().numpy() for trained in (plain, hard)]
    assert np.abs(heads[0] - heads[1]).max() > 1e-3


def test_free_embeddings_are_taught_and_pgd_and_two_passes_work_together(rows, quick, tmp_path):
    recipe = quick(epochs=8, freeze_embeddings=False, adversarial="pgd", consistency=0.5, dropout=0.1)
    losses = []
    trained = fit(rows, recipe, tmp_path, watch=lambda step: losses.append(step.losses))
    assert {"intent", "contrastive", "slots", "consistency"} <= set(losses[0])
    assert losses[0]["consistency"] > 0
    frozen = fit(rows, quick(epochs=1), tmp_path / "frozen")
    moved = trained.network.encoder.embeddings.word_embeddings.weight - (
        frozen.network.encoder.embeddings.word_embeddings.weight
    )
    assert float(moved.abs().max().detach()) > 1e-3
    assert trained.figures.values["accuracy"] == 1.0


def test_groups_give_each_parameter_its_rate_and_decay(base, quick):
    from models.training.understanding.labels import Labels
    from models.training.understanding.network import build, groups

    recipe = quick(layer_decay=0.5, freeze_embeddings=False, weight_decay=0.1)
    network, _ = build(recipe, Labels(("a", "b"), ("s",)))
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in groups(network, recipe)
        for parameter in group["params"]
    }
    named = dict(network.named_parameters())
    assert len(found) == len(named)
    rates = {name: found[id(parameter)] for name, parameter in named.items()}
    assert rates["encoder.embeddings.word_embeddings.weight"] == (3e-3 * 0.25, 0.1)
    assert rates["encoder.encoder.layer.0.attention.self.query.weight"] == (3e-3 * 0.5, 0.1)
    assert rates["encoder.encoder.layer.1.attention.self.query.bias"] == (3e-3, 0.0)
    assert rates["intent.weight"] == (2e-2, 0.1)
    frozen, _ = build(quick(), Labels(("a", "b")))
    assert not frozen.encoder.embeddings.word_embeddings.weight.requires_grad
    assert frozen.encoder.embeddings.position_embeddings.weight.requires_grad


def test_rates_rise_and_fall(quick):
    from models.training.understanding.trainer import _rate

    cosine = [_rate(step, 100, quick(warm_up=0.1)) for step in range(101)]
    assert cosine[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert cosine[10] == 1.0
    assert cosine[55] == pytest.approx(0.5)
    assert cosine[100] == pytest.approx(0.0)
    assert _rate(55, 100, quick(warm_up=0.1, schedule="linear")) == pytest.approx(0.5)
    assert _rate(0, 100, quick(warm_up=0.0)) == 1.0


def test_few_shot_batches_have_several_of_each_intent(base, quick, rows):
    from models.training.understanding.batches import Batcher, batches_in
    from models.training.understanding.labels import labels_of
    from models.training.understanding.network import build

    recipe = quick(few_shot=True, few_shot_pairs=4)
    labels = labels_of(rows[0])
    _, tokenizer = build(recipe, labels)
    batcher = Batcher(tokenizer, labels, recipe)
    cut = list(batcher.epoch(rows[0], 0))
    assert len(cut) == batches_in(len(rows[0]), recipe) == -(-len(rows[0]) // 16)
    for batch in cut:
        counts = np.bincount(batch.intents.numpy())
        assert set(counts[counts > 0]) == {4}
    # Every process gets as many batches as the others, and together they have all.
    parts = [[b.rows.tolist() for b in batcher.epoch(rows[0], 1, process=n, processes=3)] for n in range(3)]
    assert len({len(part) for part in parts}) == 1
    alone = [b.rows.tolist() for b in batcher.epoch(rows[0], 1)]
    assert all(batch in [one for part in parts for one in part] for batch in alone)


def test_a_base_that_is_not_there_is_named(quick, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelMissing, match=r"there is no encoder '.*nowhere' here"):
        fit(rows, quick(base=str(tmp_path / "nowhere")), tmp_path)


def test_one_process_trains_in_one_precision_after_another(rows, quick, tmp_path):
    low = fit(rows, quick(epochs=1, precision="bfloat16"), tmp_path / "low")
    full = fit(rows, quick(epochs=1), tmp_path / "full")
    assert 0 < differences(weights(low), weights(full)) < 1.0
    assert all(value.dtype == np.float32 for value in weights(low).values() if value.dtype.kind == "f")


def test_long_and_strange_texts_are_trained_on(quick, tmp_path):
    train = [
        Example(f"{text} {n}", intent) for intent, text in (("a", "word " * 200), ("b", "名前 🙂")) for n in range(6)
    ]
    found = fit((train, train[:2]), quick(epochs=1, max_tokens=16), tmp_path)
    assert found.labels.intents == ("a", "b")
