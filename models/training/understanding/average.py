"""Running means of weights, and means of the weights of several networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from models.training.understanding.network import UnderstandingNetwork


class RunningMean:
    """A running mean of a network's weights (Polyak); it starts fast so that the first steps do not linger."""

    def __init__(self, network: UnderstandingNetwork, decay: float, mean: dict[str, Tensor] | None = None) -> None:
        """`mean` is that of a run that was broken off; without it, the weights as they are."""
        self.decay = decay
        self.network = network
        if mean is not None:
            own = network.state_dict()
            mean = {name: value.to(own[name].device) for name, value in mean.items()}
        self.mean = mean or {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` (from 1)."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.mean[name].lerp_(value.detach(), share)


@contextmanager
def weights_of(average: RunningMean | None, network: UnderstandingNetwork) -> Iterator[None]:
    """Puts the mean weights into the network for a while; does nothing where there is no mean."""
    if average is None:
        yield
        return
    own = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(average.mean)
    try:
        yield
    finally:
        network.load_state_dict(own)


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several networks' weights (model soup, Wortsman et al. 2022); whole numbers are those of the first.

    Raises:
        ValueError: there are none, or their names or shapes differ.
    """
    if not states or any(
        {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in states[0].items()}
        for state in states
    ):
        raise ValueError(f"{len(states)} sets of weights that differ in names or shapes, or none, have no mean")
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.dtype.is_floating_point else value.clone()
        for name, value in states[0].items()
    }
