"""A small complete domain to begin with: texts, flows, an action in Python, knowledge and tests."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import yaml

from agent.yamlfile import FileError

TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FILLED = (".yaml", ".md")


def new_domain(name: str, parent: Path, business: str | None = None) -> Path:
    """Write a new domain `name` as a folder in `parent`, all of it or nothing; gives the folder.

    Its actions are imported as `NAME.actions`, so `parent`, or the folder that commands are run in, must be on the
    import path; the commands of `agent` put the current folder there.

    Raises:
        FileError: the name cannot be a module's, or there is such a folder already.
        OSError: it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise FileError([f"{name!r} is no name for a domain; use small letters, digits and _, beginning with a letter"])
    folder = parent / name
    if folder.exists():
        raise FileError([f"{folder} is there already; choose another name, or remove it"])
    values = {
        "@NAME@": name,
        "@MODULE@": module_of(folder),
        "@BUSINESS@": _quoted(business or name.replace("_", " ").title()),
    }
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as place:
        made = Path(place) / name
        shutil.copytree(TEMPLATE, made, ignore=shutil.ignore_patterns("__pycache__"))
        for path in made.rglob("*"):
            if path.suffix in _FILLED:
                path.write_text(_filled(path.read_text(encoding="utf-8"), values), encoding="utf-8")
        made.rename(folder)
    return folder


def module_of(folder: Path) -> str:
    """The package that `folder` is, seen from the current folder; its own name where it lies elsewhere."""
    path, here = folder.resolve(), Path(os.getcwd()).resolve()
    parts = path.relative_to(here).parts if path.is_relative_to(here) else (path.name,)
    return ".".join(parts) if all(part.isidentifier() for part in parts) else path.name


def _filled(text: str, values: dict[str, str]) -> str:
    for hole, value in values.items():
        text = text.replace(hole, value)
    return text


def _quoted(text: str) -> str:
    """`text` as YAML writes it on one line."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("\n").removesuffix("...").strip()
