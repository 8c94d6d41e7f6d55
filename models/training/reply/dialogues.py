"""Dialogues that a reply model learns from: reading, checking, splitting. No torch.

A file is JSON Lines, one dialogue a line:
`{"messages": [{"role": "user", "content": "Where is my order?"}, {"role": "assistant", "content": "..."}]}`, with an
optional `"knowledge": ["fact", ...]` that the reply may rest on, and an optional `"weight": 0` on an agent turn that is
context but nothing to learn from (as chat fine-tuning formats have it).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.training.examples import DataError

ROLES = ("system", "user", "assistant", "tool")
AGENT = "assistant"
MOST_PROBLEMS = 20
"""Problems listed of one read; the rest are counted."""

_KEYS = frozenset({"messages", "knowledge"})
_MESSAGE_KEYS = frozenset({"role", "content", "weight"})


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `content` has no space around it. `learn`: whether an agent turn is a target, not only context."""

    role: str
    content: str
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation with at least one agent turn to learn; `origin` is `file:line`, for messages."""

    messages: tuple[Message, ...]
    knowledge: tuple[str, ...] = ()
    origin: str = ""

    @property
    def targets(self) -> int:
        """How many agent turns are learnt."""
        return sum(message.role == AGENT and message.learn for message in self.messages)

    @property
    def digest(self) -> str:
        """SHA-256 of what is said, in hex; equal dialogues of different origin have the same."""
        said = [[message.role, message.content, message.learn] for message in self.messages]
        return hashlib.sha256(json.dumps([said, self.knowledge], ensure_ascii=True).encode()).hexdigest()


def read_dialogues(paths: Sequence[Path]) -> list[Dialogue]:
    """Read files, or the `*.jsonl` files of folders, in the order given.

    Raises:
        DataError: a file is missing, empty, not UTF-8, or has lines that are no dialogue; lists all, at most 20.
    """
    problems: list[str] = []
    dialogues: list[Dialogue] = []
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            problems.append(f"{path}: there is no .jsonl file in this folder; write one dialogue a line")
        for file in files:
            found = list(_read_file(file, problems))
            if not found and not any(problem.startswith(f"{file}:") for problem in problems):
                problems.append(f"{file}: there is no dialogue in it; write one a line")
            dialogues += found
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise DataError(problems[:MOST_PROBLEMS] + ([f"and {more} more problems"] if more > 0 else []))
    return dialogues


def dialogue_from(document: Any, origin: str) -> Dialogue:
    """The dialogue that a parsed line says.

    Raises:
        DataError: every problem of it, each with `origin`, the value and the remedy.
    """
    problems: list[str] = []
    if not isinstance(document, dict):
        raise DataError([f"{origin}: {_shown(document)} is not an object; write {{'messages': [...]}}"])
    if unknown := sorted(set(document) - _KEYS):
        problems.append(f"{origin}: unknown key {unknown[0]!r}; a dialogue has 'messages' and may have 'knowledge'")
    knowledge = document.get("knowledge", [])
    if not isinstance(knowledge, list) or not all(_is_text(fact) for fact in knowledge):
        problems.append(f"{origin}: knowledge is {_shown(knowledge)}; give a list of texts that are not empty")
        knowledge = []
    rows = document.get("messages")
    if not isinstance(rows, list):
        raise DataError([*problems, f"{origin}: messages is {_shown(rows)}; give a list of at least two messages"])
    messages = [message for n, row in enumerate(rows) if (message := _message(row, n, origin, problems)) is not None]
    if len(messages) == len(rows):
        problems += _whole(messages, origin)
    if problems:
        raise DataError(problems)
    return Dialogue(tuple(messages), tuple(fact.strip() for fact in knowledge), origin)


def without_repeats(dialogues: Sequence[Dialogue]) -> tuple[list[Dialogue], int]:
    """The first of each group of equal dialogues, and how many were left out: a copy must not be in two splits."""
    first = {dialogue.digest: dialogue for dialogue in reversed(dialogues)}
    kept = [dialogue for dialogue in dialogues if first[dialogue.digest] is dialogue]
    return kept, len(dialogues) - len(kept)


def split_validation(dialogues: Sequence[Dialogue], share: float, seed: int) -> tuple[list[Dialogue], list[Dialogue]]:
    """(training, validation): whole dialogues, drawn by `seed`; at least one on either side.

    Raises:
        DataError: fewer than two dialogues.
    """
    if len(dialogues) < 2:
        raise DataError(
            [f"{len(dialogues)} different dialogues; give at least two, one to train on and one to validate"]
        )
    order = list(range(len(dialogues)))
    random.Random(seed).shuffle(order)
    held = set(order[: min(len(dialogues) - 1, max(1, round(share * len(dialogues))))])
    return [d for n, d in enumerate(dialogues) if n not in held], [dialogues[n] for n in sorted(held)]


def with_system(dialogues: Sequence[Dialogue], text: str) -> list[Dialogue]:
    """Give `text` as the system message to every dialogue that has none."""
    head = Message("system", text.strip())
    return [
        d if d.messages[0].role == "system" else Dialogue((head, *d.messages), d.knowledge, d.origin) for d in dialogues
    ]


def digest_of(dialogues: Sequence[Dialogue]) -> str:
    """SHA-256 of a data set, order included."""
    return hashlib.sha256("".join(dialogue.digest for dialogue in dialogues).encode()).hexdigest()


def _read_file(path: Path, problems: list[str]) -> Iterator[Dialogue]:
    try:
        content = path.read_bytes()
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}); name a .jsonl file of dialogues")
        return
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        origin = f"{path}:{number}"
        if not raw.strip():
            continue
        try:
            yield dialogue_from(json.loads(raw.decode("utf-8")), origin)
        except UnicodeDecodeError as error:
            shown = raw[error.start : error.start + 4].hex(" ")
            problems.append(f"{origin}: byte {error.start + 1} ({shown}) is not UTF-8; save the file as UTF-8")
        except RecursionError:
            problems.append(f"{origin}: nested too deeply; write {{'messages': [...]}}")
        except DataError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"{origin}: not JSON ({error}); write one dialogue a line")


def _message(row: Any, number: int, origin: str, problems: list[str]) -> Message | None:
    where = f"{origin}: message {number + 1}"
    if not isinstance(row, dict):
        problems.append(f"{where} is {_shown(row)}; give an object with role and content")
        return None
    role, content, weight = row.get("role"), row.get("content"), row.get("weight", 1)
    if unknown := sorted(set(row) - _MESSAGE_KEYS):
        problems.append(f"{where}: unknown key {unknown[0]!r}; a message has role, content and may have weight")
    if role not in ROLES:
        problems.append(f"{where}: role is {_shown(role)}; use one of {', '.join(ROLES)}")
    elif isinstance(content, str) and not content.strip():
        who = "this agent turn" if role == AGENT else f"this {role} turn"
        problems.append(f"{where}: {who} is empty; write what was said, or leave it out")
    elif not isinstance(content, str) or not _is_text(content):
        problems.append(f"{where}: content is {_shown(content)}; give a text")
    elif weight not in (0, 1) or isinstance(weight, bool):
        problems.append(f"{where}: weight is {_shown(weight)}; give 1 to learn this turn, 0 to have it as context only")
    else:
        return Message(str(role), content.strip(), weight == 1)
    return None


def _whole(messages: Sequence[Message], origin: str) -> Iterator[str]:
    if len(messages) < 2:
        yield f"{origin}: {len(messages)} message{'s' * (len(messages) != 1)}; a dialogue has at least two"
    elif not any(message.role == AGENT and message.learn for message in messages):
        yield f"{origin}: no turn of the role 'assistant' to learn from; add one, or leave the dialogue out"
    spoken = next((n for n, message in enumerate(messages) if message.role != "system"), len(messages))
    for n, message in enumerate(messages):
        if message.role == "system" and n > spoken:
            yield f"{origin}: message {n + 1} is a system message in mid-dialogue; put it first"


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
