"""Versions of a trained model on disk: which there are, which one is used, and how one becomes current.

    ROOT/<name>/v0001-1f0c2a9b/   a version, whole or absent (`models.text_model` says what is in it)
    ROOT/<name>/current.json      which is used, which was used before, which runs in the shadow, and what changed when

Two versions need no folder: `EMBEDDED` ships with the product, `HEAD` is fitted on a domain's examples when loaded.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.errors import ModelDamaged, ModelError, ModelMissing
from models.text_model import MODEL_FILE, ModelInfo, read_info
from models.text_model_open import SUMS_FILE, check_sums, write_sums

EMBEDDED = "embedded"
"""What ships with the product, as far as it fits the domain."""
HEAD = "head"
"""Heads over the frozen sentence encoder, fitted on the domain's examples as they are now."""
BUILT_IN = (EMBEDDED, HEAD)
STATE_FILE = "current.json"
KEPT_CHANGES = 200
"""Changes that the history keeps; the oldest go."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"v(\d{4,9})-([0-9a-f]{8})")
_DRAFT = re.compile(r"\.draft-(\d+)-[0-9a-f]+-v(\d{4,9})-[0-9a-f]{8}")


class UnknownVersion(ModelMissing):
    """There is no such version, or none to go back to; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class Change:
    """What changed: `what` is current or shadow, version None switched the shadow off. at: ISO 8601, UTC."""

    at: str
    what: str
    version: str | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What is used of one model: current for every turn, previous before it, shadow beside it."""

    current: str = EMBEDDED
    previous: str | None = None
    shadow: str | None = None
    history: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A version being written: fill `folder`; `version` is the name it will have."""

    folder: Path
    version: str


class Registry:
    """The versions below one folder; safe to use from several processes."""

    def __init__(self, root: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`root` need not exist yet; `now` dates the history."""
        self.root = root
        self._now = now

    def folder(self, name: str) -> Path:
        """Where the versions of `name`, a domain, lie.

        Raises:
            ModelError: `name` cannot name a folder.
        """
        if not _NAME.fullmatch(name):
            raise ModelError(f"domain {name!r} cannot name a folder; use up to 64 of letters, digits, '_', '.', '-'")
        return self.root / name

    def names(self) -> list[str]:
        """The domains that have versions."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and self.versions(path.name))

    def versions(self, name: str) -> list[str]:
        """The versions of `name` that have folders, oldest first; damaged ones are among them."""
        folder = self.folder(name)
        if not folder.is_dir():
            return []
        found = [(match, path) for path in folder.iterdir() if (match := _VERSION.fullmatch(path.name))]
        return [path.name for match, path in sorted(found, key=lambda row: int(row[0][1])) if path.is_dir()]

    def path(self, name: str, version: str) -> Path:
        """The folder of a version.

        Raises:
            UnknownVersion: there is none; lists those there are.
        """
        if version not in self.versions(name):
            known = ", ".join([*BUILT_IN, *self.versions(name)])
            raise UnknownVersion(f"{name} has no version {version!r} with a folder; there are: {known}")
        return self.folder(name) / version

    def info(self, name: str, version: str) -> ModelInfo:
        """What a version with a folder is.

        Raises:
            UnknownVersion, ModelMissing, ModelDamaged: it is not there, or not whole.
        """
        return read_info(self.path(name, version))

    def verify(self, name: str, version: str) -> None:
        """Check that a version is there and that its files are those that were written.

        Raises:
            UnknownVersion: there is none.
            ModelDamaged: a file is missing or differs.
        """
        if version in BUILT_IN:
            return
        folder = self.path(name, version)
        check_sums(folder)
        if not read_info(folder).members:
            raise ModelDamaged(f"{folder / MODEL_FILE} names no members; train the version again")

    def state(self, name: str) -> State:
        """What is used now; `EMBEDDED` where nothing was ever chosen.

        Raises:
            ModelDamaged: the state file cannot be read.
        """
        path = self.folder(name) / STATE_FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            history = tuple(Change(**change) for change in document.pop("history"))
            return State(**document, history=history)
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            remedy = f"choose a version again with `agent models use VERSION` after deleting {path}"
            raise ModelDamaged(f"{path} is not what was written ({error}); {remedy}") from error

    def use(self, name: str, version: str, why: str = "") -> State:
        """Make `version` current, once its files were checked; the one used so far becomes previous.

        Raises:
            UnknownVersion, ModelDamaged: it cannot be used; what is current stays so.
        """
        with self._locked(name):
            self.verify(name, version)
            state = self.state(name)
            if version == state.current:
                return state
            shadow = None if state.shadow == version else state.shadow
            return self._write(
                name, replace(state, current=version, previous=state.current, shadow=shadow), version, why
            )

    def rollback(self, name: str) -> State:
        """Go back to the version used before, which thereby becomes the current one; again goes forward.

        Raises:
            UnknownVersion: none was used before, or it is gone.
            ModelDamaged: its files are damaged.
        """
        state = self.state(name)
        if state.previous is None:
            known = ", ".join([*BUILT_IN, *self.versions(name)])
            raise UnknownVersion(f"{name} has used {state.current} only; choose one of: {known}")
        return self.use(name, state.previous, "rollback")

    def shadow(self, name: str, version: str | None, why: str = "") -> State:
        """Let `version` run silently beside the current one; None ends that.

        Raises:
            UnknownVersion, ModelDamaged: it cannot be used.
        """
        with self._locked(name):
            state = self.state(name)
            if version is not None:
                self.verify(name, version)
                if version == state.current:
                    raise ModelError(f"{version} is current for {name}; the shadow must be another version")
            if version == state.shadow:
                return state
            return self._write(name, replace(state, shadow=version), version, why, what="shadow")

    @contextmanager
    def draft(self, name: str, content: str) -> Iterator[Draft]:
        """Write a new version: fill `draft.folder` inside; on leaving it is listed in SHA256SUMS, synced and renamed.

        content: hex digest (8 digits or more) of what the version is made from; part of its name. Whatever is raised
        inside or on leaving, a full disk for example, removes the folder: there is no partial version.

        Raises:
            OSError: the disk is full or gone.
            ModelError: `draft.folder` holds no model description on leaving.
        """
        tag = content[:8].lower()
        if not re.fullmatch(r"[0-9a-f]{8}", tag):
            raise ModelError(f"content {content!r} is no hex digest of 8 digits or more")
        if tag.isdigit():  # records would take it for a caller's number, and redact it
            tag = "abcdef"[int(tag[0]) % 6] + tag[1:]
        with self._locked(name):
            folder = self.folder(name)
            numbers = [int(match[1]) for path in folder.iterdir() if (match := _VERSION.fullmatch(path.name))]
            for path in folder.iterdir():
                if match := _DRAFT.fullmatch(path.name):
                    if _alive(int(match[1])):
                        numbers.append(int(match[2]))
                    else:
                        shutil.rmtree(path, ignore_errors=True)
            version = f"v{max(numbers, default=0) + 1:04d}-{tag}"
            draft = Draft(folder / f".draft-{os.getpid()}-{secrets.token_hex(4)}-{version}", version)
            draft.folder.mkdir()
        try:
            yield draft
            read_info(draft.folder)
            write_sums(draft.folder)
            _sync(draft.folder)
            os.rename(draft.folder, folder / version)
            _sync_folder(folder)
        except BaseException:
            shutil.rmtree(draft.folder, ignore_errors=True)
            raise

    def install(self, name: str, source: Path) -> str:
        """Take a copy of the version in the folder `source`, trained elsewhere; returns the name it has here.

        Raises:
            ModelMissing, ModelDamaged: it is no whole version.
            OSError: the disk is full or gone.
        """
        check_sums(source)
        info = read_info(source)
        content = hashlib.sha256((source / SUMS_FILE).read_bytes()).hexdigest()
        with self.draft(name, content) as draft:
            for path in source.iterdir():
                if path.is_file():
                    shutil.copyfile(path, draft.folder / path.name)
            write_info(draft.folder, replace(info, name=name, version=draft.version))
        return draft.version

    def remove(self, name: str, version: str) -> None:
        """Delete a version's folder, and with it the texts it was trained on.

        Raises:
            UnknownVersion: there is none.
            ModelError: it is used, would be gone back to, or runs in the shadow.
        """
        with self._locked(name):
            folder, state = self.path(name, version), self.state(name)
            if version in (state.current, state.previous, state.shadow):
                raise ModelError(f"{version} is current, previous or shadow of {name}; choose others first")
            doomed = folder.with_name(f".draft-{os.getpid()}-{secrets.token_hex(4)}-{version}")
            os.rename(folder, doomed)
            shutil.rmtree(doomed)

    def signature(self, name: str) -> tuple[int, int, int] | None:
        """Changes whenever the state file is written anew; None where there is none. Cheap: one stat."""
        try:
            stat = (self.folder(name) / STATE_FILE).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _write(self, name: str, state: State, version: str | None, why: str, what: str = "current") -> State:
        change = Change(self._now().astimezone(UTC).isoformat(timespec="seconds"), what, version, why)
        state = replace(state, history=(*state.history, change)[-KEPT_CHANGES:])
        write_json(self.folder(name) / STATE_FILE, asdict(state))
        return state

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One process at a time changes what is used of `name`; the folder is made."""
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_info(folder: Path, info: ModelInfo) -> None:
    """Write `info` as the model description of a version's folder."""
    write_json(folder / MODEL_FILE, info.document())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON atomically and to the disk: a reader sees the old file or the new one, whole.

    Raises:
        OSError: the disk is full or gone; the old file stays.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
