"""Each part of the loss against its formula, and adversarial passes that leave embeddings as they were."""

import math

import numpy as np
import pytest

from models.training.understanding.recipe import Recipe

pytestmark = pytest.mark.train


def batch(intents, slots=None, emotions=None, weights=None):
    import torch

    from models.training.understanding.batches import Batch

    n = len(intents)
    feelings = torch.tensor(emotions) if emotions is not None else torch.zeros(n, 0)
    return Batch(
        torch.zeros(n, 2, dtype=torch.long),
        torch.ones(n, 2, dtype=torch.long),
        torch.tensor(intents),
        torch.tensor(slots) if slots is not None else torch.full((n, 2), -100),
        feelings,
        feelings.sum(1) > 0,
        torch.tensor(weights or [1.0] * n),
        torch.arange(n),
    )


def log_softmax(rows):
    rows = np.asarray(rows, float)
    return rows - np.log(np.exp(rows).sum(-1, keepdims=True))


def parts(outputs, of, targets=None, **recipe):
    import torch

    from models.training.understanding.losses import Targets, loss

    settings = {"contrastive": 0.0, "label_smoothing": 0.0, **recipe}
    outputs = {name: torch.tensor(value, dtype=torch.float32) for name, value in outputs.items()}
    return {name: float(v) for name, v in loss(outputs, of, Recipe(**settings), targets or Targets()).items()}


LOGITS = [[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]]
VECTORS = [[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]]


def test_intents_are_weighed_by_example_and_by_class():
    import torch

    from models.training.understanding.losses import Targets

    each = -log_softmax(LOGITS)[range(3), [0, 1, 1]]
    of = batch([0, 1, 1], weights=[1.0, 3.0, 0.5])
    outputs = {"intent": LOGITS, "vector": VECTORS}
    assert parts(outputs, of) == {"intent": pytest.approx(np.average(each, weights=[1, 3, 0.5]))}
    assert parts(outputs, of, intent_weight=0.25)["intent"] == pytest.approx(
        0.25 * np.average(each, weights=[1, 3, 0.5])
    )
    scaled = each * [2.0, 0.5, 0.5]
    weighed = parts(outputs, of, Targets(intent_weights=torch.tensor([2.0, 0.5, 1.0])))
    assert weighed["intent"] == pytest.approx(np.average(scaled, weights=[1, 3, 0.5]))


def test_label_smoothing_is_a_share_of_the_uniform():
    logs = log_softmax(LOGITS)
    smooth = np.mean([-(0.9 * logs[n, label] + 0.1 * logs[n].mean()) for n, label in enumerate([0, 1, 2])])
    found = parts({"intent": LOGITS, "vector": VECTORS}, batch([0, 1, 2]), label_smoothing=0.1)
    assert found["intent"] == pytest.approx(smooth)


def test_what_is_not_labelled_teaches_nothing():
    outputs = {"intent": LOGITS, "vector": VECTORS, "slots": np.zeros((3, 2, 3)), "emotion": LOGITS}
    none = batch([-100] * 3, emotions=[[0.0] * 3] * 3)
    assert parts(outputs, none, contrastive=1.0) == {"intent": 0, "contrastive": 0, "slots": 0, "emotion": 0}
    some = batch([-100, 1, -100], emotions=[[0.0] * 3] * 3)
    assert parts(outputs, some)["intent"] == pytest.approx(-log_softmax(LOGITS)[1, 1])


def test_teachers_are_learnt_beside_the_labels():
    import torch

    from models.training.understanding.losses import Targets

    taught = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [1 / 3] * 3])
    heat, share = 2.0, 0.7
    logs = log_softmax(np.array(LOGITS) / heat)
    soft = (taught * (np.log(taught) - logs)).sum(1) * heat * heat
    hard = -log_softmax(LOGITS)[range(3), [0, 1, 2]]
    targets = Targets(teachers=torch.tensor(taught))
    found = parts({"intent": LOGITS, "vector": VECTORS}, batch([0, 1, 2]), targets)
    assert found["intent"] == pytest.approx(np.mean((1 - share) * hard + share * soft), rel=1e-5)


def test_slots_are_the_mean_over_taught_words():
    rows = np.array([[[1.0, 0, 0], [0, 2, 0]], [[0, 0, 1], [3, 0, 0]]])
    found = parts({"slots": rows}, batch([-100, -100], [[0, 1], [-100, 2]]), slot_weight=2.0)
    logs = log_softmax(rows)
    assert found["slots"] == pytest.approx(-2 * np.mean([logs[0, 0, 0], logs[0, 1, 1], logs[1, 1, 2]]), rel=1e-5)


def test_one_emotion_is_softmax_and_several_are_sigmoids():
    import torch

    from models.training.understanding.losses import Targets

    felt = [[1.0, 0, 0], [0, 1.0, 1.0], [0, 0, 0]]
    of = batch([-100] * 3, emotions=felt)
    logs = log_softmax(LOGITS)
    one = -(logs[0, 0] + 0.5 * (logs[1, 1] + logs[1, 2])) / 2
    assert parts({"emotion": LOGITS}, of, emotion_weight=1.0)["emotion"] == pytest.approx(one)
    weights = torch.tensor([1.0, 2.0, 4.0])
    p = 1 / (1 + np.exp(-np.array(LOGITS)))
    each = -(np.array(felt) * np.log(p) * weights.numpy() + (1 - np.array(felt)) * np.log(1 - p))[:2].sum(1)
    several = Targets(several_emotions=True, emotion_weights=weights)
    assert parts({"emotion": LOGITS}, of, several, emotion_weight=1.0)["emotion"] == pytest.approx(
        each.mean(), rel=1e-5
    )


def test_contrastive_loss_is_that_of_khosla():
    import torch

    from models.training.understanding.losses import contrastive

    rng = np.random.default_rng(0)
    vectors, labels, heat = rng.normal(size=(6, 4)), [0, 0, 1, 1, 2, -100], 0.5
    unit = vectors[:5] / np.linalg.norm(vectors[:5], axis=1, keepdims=True)
    close = np.exp(unit @ unit.T / heat)
    losses = []
    for n in range(4):
        others = [m for m in range(5) if m != n]
        equal = [m for m in others if labels[m] == labels[n]]
        losses.append(-np.mean([math.log(close[n, m] / close[n, others].sum()) for m in equal]))
    found = contrastive(torch.tensor(vectors, dtype=torch.float32), torch.tensor(labels), heat)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(contrastive(torch.randn(3, 4), torch.tensor([0, 1, 2]), heat)) == 0.0
    assert float(contrastive(torch.randn(1, 4), torch.tensor([0]), heat)) == 0.0


def test_divergence_is_symmetric_and_none_between_equals():
    import torch

    from models.training.understanding.losses import divergence

    a, b = {"intent": torch.tensor(LOGITS)}, {"intent": torch.tensor(LOGITS).flip(0)}
    p, q = np.exp(log_softmax(LOGITS)), np.exp(log_softmax(LOGITS[::-1]))
    meant = 0.5 * ((p * np.log(p / q)).sum(1) + (q * np.log(q / p)).sum(1)).mean()
    assert float(divergence(a, b)) == pytest.approx(meant, rel=1e-5) == pytest.approx(float(divergence(b, a)))
    assert float(divergence(a, a)) == pytest.approx(0.0, abs=1e-7)


def embedded():
    """A word embedding, a head, and the loss on three words."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    words, head = nn.Embedding(5, 4), nn.Linear(4, 2)

    def again():
        return nn.functional.cross_entropy(head(words(torch.tensor([0, 1, 2]))), torch.tensor([0, 1, 0]))

    again().backward()
    return words, head, again


@pytest.mark.parametrize(("kind", "losses"), [("fgm", 1), ("pgd", 3)])
def test_adversarial_passes_add_gradients_and_put_embeddings_back(kind, losses):
    import torch

    from models.training.understanding.losses import adversarial_pass

    words, head, again = embedded()
    before, gradient = words.weight.detach().clone(), head.weight.grad.clone()
    clean = again().item()
    moved = []

    def watched():
        moved.append((words.weight.detach() - before).norm().item())
        value = again()
        assert value.item() > clean
        return value

    recipe = Recipe(adversarial=kind, adversarial_size=0.5, pgd_steps=3)
    adversarial_pass(words, recipe, watched, lambda value: value.backward())
    assert torch.equal(words.weight.detach(), before)
    assert len(moved) == losses
    assert moved[-1] == pytest.approx(0.5, rel=0.05)
    assert not torch.allclose(head.weight.grad, gradient)
    assert not torch.allclose(head.weight.grad, 2 * gradient), "the second pass was on other embeddings"


def test_adversarial_passes_put_embeddings_back_where_they_fail():
    import torch

    from models.training.understanding.losses import adversarial_pass

    words, _, _ = embedded()
    before = words.weight.detach().clone()

    def fails():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        adversarial_pass(words, Recipe(adversarial="fgm"), fails, lambda value: None)
    assert torch.equal(words.weight.detach(), before)
    words.weight.grad = None
    with pytest.raises(ValueError, match="no gradient"):
        adversarial_pass(words, Recipe(adversarial="fgm"), fails, lambda value: None)


def test_class_weights_raise_rare_classes_and_keep_the_mean():
    from collections import Counter

    from models.training.understanding.batches import class_weights

    counts = Counter({"often": 90, "rare": 10})
    assert class_weights(counts, ("often", "rare"), 0.0).tolist() == [1.0, 1.0]
    full = class_weights(counts, ("often", "rare"), 1.0)
    assert full[1] / full[0] == pytest.approx(9.0)
    half = class_weights(counts, ("often", "rare"), 0.5)
    assert half[1] / half[0] == pytest.approx(3.0)
    for weights in (full, half):
        assert float(0.9 * weights[0] + 0.1 * weights[1]) == pytest.approx(1.0)


def test_means_of_weights_and_running_means():
    import torch

    from models.training.understanding.average import RunningMean, mean_weights, weights_of

    a = {"w": torch.tensor([1.0, 3.0]), "count": torch.tensor(2)}
    b = {"w": torch.tensor([3.0, 5.0]), "count": torch.tensor(9)}
    found = mean_weights([a, b])
    assert found["w"].tolist() == [2.0, 4.0]
    assert int(found["count"]) == 2
    with pytest.raises(ValueError, match="differ in names or shapes"):
        mean_weights([a, {"w": torch.zeros(3), "count": torch.tensor(1)}])
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    mean = RunningMean(layer, 0.5)
    layer.weight.data.fill_(1.0)
    mean.update(1)
    # Step 1 takes in 1 - min(0.5, 2 / 11) of the new weight, late steps 1 - 0.5 of it.
    assert float(mean.mean["weight"]) == pytest.approx(9 / 11)
    layer.weight.data.fill_(2.0)
    mean.update(1000)
    assert float(mean.mean["weight"]) == pytest.approx(0.5 * 9 / 11 + 0.5 * 2)
    with weights_of(mean, layer):
        assert float(layer.weight.detach()) == pytest.approx(float(mean.mean["weight"]))
    assert float(layer.weight.detach()) == 2.0
