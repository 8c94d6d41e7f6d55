"""Figures of a training run as others show them: TensorBoard, and Weights & Biases where asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.training.understanding.recipe import Recipe

FOLDER = "logs"


class Logs:
    """Scalars for TensorBoard in `work`/logs, and for Weights & Biases where it is given the recipe."""

    def __init__(self, work: Path, run: Recipe | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run: Any = None
        if run is not None:
            import wandb

            self._run = wandb.init(project="callagent-understanding", config=run.model_dump(mode="json"), dir=str(work))
        self._writer = SummaryWriter(str(work / FOLDER))

    def write(self, step: int, rate: float, losses: Mapping[str, float], figures: Mapping[str, float]) -> None:
        """Write what is known of a step: its learning rate, the parts of its loss, the figures of an epoch."""
        scalars = {f"loss/{name}": value for name, value in losses.items()}
        scalars |= {f"validation/{name}": value for name, value in figures.items()}
        scalars["learning rate"] = rate
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)
        if self._run is not None:
            self._run.log(scalars, step=step)

    def close(self) -> None:
        """Write what is buffered."""
        if self._run is not None:
            self._run.finish()
        self._writer.close()
