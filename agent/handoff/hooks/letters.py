"""Dead letters: what a hook could not be told, kept as one file each until somebody tries again."""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.handoff.hooks.events import HandoffEvent, read_event

log = logging.getLogger(__name__)

MOST_LETTERS = 10_000
_ID = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{8}")


class LetterError(Exception):
    """A dead letter is not there, or cannot be read."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """code, why: the last failure. retries: how often somebody tried again since."""

    id: str
    hook: str
    code: str
    why: str
    buried_at: datetime
    retries: int
    event: HandoffEvent


class DeadLetters:
    """A folder of letters, readable by its owner only since they hold what callers said.

    Of more than `most` the oldest is removed, logged and counted in `counters["dropped"]`. Blocking: call it from a
    thread. Several processes may use the folder.
    """

    def __init__(self, folder: Path, most: int = MOST_LETTERS) -> None:
        self.folder = folder
        self._most = most
        self.counters: Counter[str] = Counter()

    def add(self, hook: str, event: HandoffEvent, code: str, why: str, now: datetime) -> str:
        """Keep a letter; gives its id.

        Raises:
            OSError: it could not be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        letter_id = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        self._write(DeadLetter(letter_id, hook, code, why, now, 0, event))
        for old in self.ids()[: -self._most]:
            self.counters["dropped"] += 1
            log.error("dead letter %s is removed: there are more than %d", old, self._most)
            self.remove(old)
        return letter_id

    def ids(self) -> list[str]:
        """Oldest first."""
        if not self.folder.is_dir():
            return []
        names = (path.stem for path in self.folder.glob("*.json"))
        return sorted(name for name in names if _ID.fullmatch(name))

    def read(self, letter_id: str) -> DeadLetter:
        """One letter.

        Raises:
            LetterError: there is none of this id, or it cannot be read.
        """
        try:
            plain = json.loads(self._path(letter_id).read_bytes())
            return _letter(letter_id, plain)
        except FileNotFoundError as error:
            raise LetterError(f"there is no dead letter {letter_id}; see `dead-letters list`") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise LetterError(f"dead letter {letter_id} cannot be read: {error}; remove {letter_id}.json") from error

    def failed_again(self, letter: DeadLetter, code: str, why: str) -> None:
        """Write down that another try failed.

        Raises:
            OSError: it could not be written.
        """
        retries = letter.retries + 1
        self._write(DeadLetter(letter.id, letter.hook, code, why, letter.buried_at, retries, letter.event))

    def remove(self, letter_id: str) -> None:
        """It was delivered, or nobody wants it any more."""
        self._path(letter_id).unlink(missing_ok=True)

    def erase(self, call_ids: Iterable[str]) -> int:
        """Remove the letters about these calls; gives how many.

        Raises:
            LetterError: one cannot be read, so nobody knows whose it is.
        """
        gone, wanted = 0, set(call_ids)
        for letter_id in self.ids():
            if self.read(letter_id).event.request.call_id in wanted:
                self.remove(letter_id)
                gone += 1
        return gone

    def _path(self, letter_id: str) -> Path:
        if not _ID.fullmatch(letter_id):
            raise LetterError(f"{letter_id[:60]!r} is no id of a dead letter; see `dead-letters list`")
        return self.folder / f"{letter_id}.json"

    def _write(self, letter: DeadLetter) -> None:
        path = self._path(letter.id)
        plain = {
            "hook": letter.hook,
            "code": letter.code,
            "why": letter.why,
            "buried_at": letter.buried_at.isoformat(),
            "retries": letter.retries,
            "event": letter.event.plain(),
        }
        fresh = path.with_suffix(f".{uuid.uuid4().hex[:8]}.new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(plain, file, default=str)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def _letter(letter_id: str, plain: Any) -> DeadLetter:
    buried_at = datetime.fromisoformat(plain["buried_at"])
    event = read_event(plain["event"])
    return DeadLetter(letter_id, plain["hook"], plain["code"], plain["why"], buried_at, int(plain["retries"]), event)
