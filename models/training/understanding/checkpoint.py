"""What training has reached: kept on disk so that a kill costs little, and the weights of the best epoch."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import ModelError
from models.training.examples import Example
from models.training.understanding.measuring import Figures
from models.training.understanding.network import ranks_of, set_ranks
from models.training.understanding.recipe import Recipe

log = logging.getLogger(__name__)

CHECKPOINT_FILE = "checkpoint.pt"
_NOT_OF_ONE_NETWORK = {"networks", "combine"}
"""Settings that change which networks are trained, and none of them."""


class TrainingFailed(ModelError):
    """Training cannot go on; the message says why and what to change."""


class Checkpoint:
    """Where one network's training is; written whole or not at all."""

    def __init__(
        self,
        recipe: Recipe,
        work: Path,
        network: Any,
        optimizer: Any,
        schedule: Any,
        examples: Sequence[Example],
        other: Sequence[object] = (),
    ) -> None:
        """`work` is the folder it is kept in; `other`: what the weights depend on besides recipe and examples."""
        self.step = self.epoch = self.batch = 0
        self.best_epoch = 0
        self.best_score = -math.inf
        self.history: list[Mapping[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.mean: dict[str, Tensor] | None = None
        """The running mean of the weights, where there is one; the same tensors as the mean's own."""
        self.path = work / CHECKPOINT_FILE
        self._parts = (network, optimizer, schedule)
        content = [
            recipe.model_dump(mode="json", exclude=_NOT_OF_ONE_NETWORK),
            [(e.text, e.intent, e.emotions) for e in examples],
            *other,
        ]
        if any(e.spans is not None for e in examples):
            content.append([e.spans and [(s.start, s.end, s.name) for s in e.spans] for e in examples])
        if any(e.weight != 1.0 for e in examples):
            content.append([e.weight for e in examples])
        self._key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    def keep(self, found: Figures, epoch: int, always: bool) -> None:
        """Keep the weights of the best epoch, or `always` of the last; equal scores take the later one."""
        self.history.append(found.values)
        if always or found.score >= self.best_score or not self.best:
            self.best_score, self.best_epoch = found.score, epoch
            self.best = {name: value.detach().cpu().clone() for name, value in self._parts[0].state_dict().items()}

    def stopped(self, patience: int) -> bool:
        """Whether so many epochs (0: any number) went by without a better score."""
        return bool(patience) and self.epoch > 0 and self.epoch - 1 - self.best_epoch >= patience

    def save(self) -> None:
        """Write the checkpoint; where that fails, the one before stays.

        Raises:
            TrainingFailed: the disk is full or cannot be written.
        """
        network, optimizer, schedule = self._parts
        content = {
            "key": self._key,
            "numbers": (self.step, self.epoch, self.batch, self.best_epoch, self.best_score),
            "history": [dict(values) for values in self.history],
            "best": self.best,
            "mean": self.mean,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "ranks": ranks_of(network),
            "random": (torch.get_rng_state(), random.getstate()),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        partial = self.path.with_suffix(".partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:  # torch's writer has no class of its own for a full disk
            partial.unlink(missing_ok=True)
            free = shutil.disk_usage(self.path.parent).free / 1e6
            raise TrainingFailed(
                f"{self.path} cannot be written ({error}; {free:.0f} MB free); the checkpoint before it was kept: "
                "make room and run the same command again"
            ) from error

    def resume(self) -> None:
        """Go on where the checkpoint stopped, if it is of this recipe and data."""
        if not self.path.is_file():
            return
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=False)
        except Exception as error:  # torch has no error class for a damaged file
            log.warning("%s cannot be read (%s): training starts anew", self.path, error)
            return
        if found["key"] != self._key:
            log.warning("%s is of another recipe or other data: training starts anew", self.path)
            return
        network, optimizer, schedule = self._parts
        network.load_state_dict(found["network"])
        optimizer.load_state_dict(found["optimizer"])
        schedule.load_state_dict(found["schedule"])
        set_ranks(network, found.get("ranks"))
        self.step, self.epoch, self.batch, self.best_epoch, self.best_score = found["numbers"]
        self.history, self.best, self.mean = list(found["history"]), found["best"], found.get("mean")
        torch.set_rng_state(found["random"][0])
        random.setstate(found["random"][1])
        if found.get("cuda") and len(found["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(found["cuda"])
        log.info("going on from step %d, epoch %d", self.step, self.epoch + 1)
