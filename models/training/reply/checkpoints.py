"""Checkpoints of a training run: written whole or not at all, read back to go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from models.errors import ModelError

STATE_FILE = "progress.json"
PART = ".part"
_PREFIX = "step-"


class SaveFailed(ModelError):
    """A checkpoint could not be written; the message says why and which one is kept."""


class OtherRun(ModelError):
    """The folder holds checkpoints of other data or settings."""


@dataclass(slots=True)
class Progress:
    """Where a run is. step: optimizer steps done. loss_before: validation loss of the base model.

    best_step and best_loss: the checkpoint with the lowest validation loss. bad: validations since then.
    """

    step: int = 0
    loss_before: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    bad: int = 0
    stopped_early: bool = False
    finished: bool = False

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Checkpoints:
    """The checkpoints below `folder`, of the run that `key` names (data and settings)."""

    def __init__(self, folder: Path, key: str, keep: int) -> None:
        self._folder = folder
        self._key = key
        self._keep = keep

    def path(self, step: int) -> Path:
        """Where the checkpoint of `step` is."""
        return self._folder / f"{_PREFIX}{step:08d}"

    def steps(self) -> list[int]:
        """The steps with a whole checkpoint, ascending."""
        return sorted(
            int(path.name.removeprefix(_PREFIX))
            for path in self._folder.glob(f"{_PREFIX}*")
            if path.name.removeprefix(_PREFIX).isdigit() and (path / STATE_FILE).is_file()
        )

    def latest(self) -> Progress | None:
        """The progress at the latest checkpoint; None where there is none.

        Raises:
            OtherRun: it belongs to other data or settings.
        """
        steps = self.steps()
        if not steps:
            return None
        document = json.loads((self.path(steps[-1]) / STATE_FILE).read_text(encoding="utf-8"))
        if document.pop("key", None) != self._key:
            raise OtherRun(
                f"{self._folder} holds checkpoints of other data or settings, or of another number of processes; "
                "give another --out, or --restart to delete them"
            )
        known = {field.name for field in fields(Progress)}
        return Progress(**{name: value for name, value in document.items() if name in known})

    def save(self, progress: Progress, write: Callable[[Path], None]) -> Path:
        """Let `write` fill a folder, then give it its name; older checkpoints go, the best one stays.

        Raises:
            SaveFailed: the disk is full or gone; what was there before is still there.
        """
        place = self.path(progress.step)
        part = place.with_name(place.name + PART)
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write(part)
            document = {"key": self._key, **progress.document()}
            (part / STATE_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            sync(part)
            if place.exists():
                shutil.rmtree(place)
            part.rename(place)
        except Exception as error:  # torch and safetensors raise errors of their own where a disk is full
            shutil.rmtree(part, ignore_errors=True)
            kept = self.steps()
            rest = f"the one of step {kept[-1]} is kept" if kept else "there is none yet"
            raise SaveFailed(
                f"checkpoint of step {progress.step} could not be written ({error}); {rest}. "
                f"Free space below {self._folder} and run the same command again"
            ) from error
        self._prune(progress.best_step)
        return place

    def clear(self) -> None:
        """Delete all checkpoints."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _prune(self, best: int | None) -> None:
        for step in self.steps()[: -self._keep]:
            if step != best:
                shutil.rmtree(self.path(step), ignore_errors=True)
        for part in self._folder.glob(f"{_PREFIX}*{PART}"):
            shutil.rmtree(part, ignore_errors=True)


def sync(folder: Path) -> None:
    """Bring every file below `folder` to the disk, so that a name given afterwards stands for whole files.

    Raises:
        OSError: the disk is full or gone.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
