"""Few examples an intent: heads fitted on vectors that contrastive training parted (SetFit, Tunstall et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models.training.examples import Example
from models.training.understanding.batches import Batcher
from models.training.understanding.recipe import Recipe
from models.training.understanding.trainer import Trained, predict

_STRENGTH = 1.0
"""Inverse regularisation of the head; scikit-learn's default, as in SetFit."""
_SHARPNESS = 3.0
"""What calibration later undoes; it only sets how the network weighs beside a frozen head."""


def refit_intents(trained: Trained, examples: Sequence[Example], recipe: Recipe) -> None:
    """Replace the network's intent head by logistic regression on its vectors of `examples`."""
    from sklearn.linear_model import LogisticRegression

    head = trained.network.intent
    known = [e for e in examples if e.intent in trained.labels.intents]
    if head is None or not known:
        return
    exact = recipe.model_copy(update={"precision": "float32"})
    batcher = Batcher(trained.tokenizer, trained.labels, exact)
    vectors = predict(trained.network, batcher, known, torch.device("cpu"), exact).vectors
    # The head reads vectors as they are, so their common length is worked into its weights.
    length = float(np.linalg.norm(vectors, axis=1).mean())
    truth = np.array([trained.labels.intents.index(str(e.intent)) for e in known])
    model = LogisticRegression(C=_STRENGTH, max_iter=500).fit(vectors / length, truth)
    if model.coef_.shape[0] != head.weight.shape[0]:
        return
    with torch.no_grad():
        # Few examples leave logistic regression unsure; the scale makes its probabilities as sharp as a network's.
        head.weight.copy_(torch.tensor(_SHARPNESS * model.coef_ / length))
        head.bias.copy_(torch.tensor(_SHARPNESS * model.intercept_))
