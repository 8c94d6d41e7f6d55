"""YAML files that remember which line each value stands on, so that errors can say where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

Where = tuple[str | int, ...]

MAX_DEPTH = 100
"""Lists and mappings in one another; beyond some thousands libyaml would overflow the stack."""

# libyaml's parser takes a sixteenth of the time, and finds the same; PyYAML's wheels have it, other builds may not.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FileError(Exception):
    """A configuration file that cannot be used; the message lists `file:line: problem; remedy` for every problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class YamlFile:
    """A parsed YAML file: plain data, and the line (from 1) of every key and item by its path."""

    path: Path
    data: Any
    lines: Mapping[Where, int]

    def line(self, where: Where) -> int:
        """The line of `where`, or of the nearest thing around it."""
        while where not in self.lines and where:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Where, message: str) -> str:
        """`file:line: message`."""
        return f"{self.path}:{self.line(where)}: {message}"


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file with line numbers; duplicate keys are refused.

    Raises:
        FileError: the file is missing, is not YAML, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError([f"{path}: cannot be read: {error}"]) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> YamlFile:
    """Parse YAML text as if it came from `path`.

    Raises:
        FileError: as `read_yaml`.
    """
    lines: dict[Where, int] = {}
    problems: list[str] = []
    try:
        _check_depth(text, path)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            data = None if node is None else _build(loader, node, (), lines, problems, path)
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise FileError([f"{path}{line}: not valid YAML: {getattr(error, 'problem', None) or error}"]) from error
    except RecursionError as error:
        raise FileError([f"{path}: holds itself by an alias; write it out"]) from error
    if problems:
        raise FileError(problems)
    return YamlFile(path, data, lines)


def _check_depth(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                where = f"{path}:{event.start_mark.line + 1}" if event.start_mark else f"{path}"
                raise FileError([f"{where}: nested too deeply, beyond {MAX_DEPTH} levels; write it flatter"])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _build(
    loader: yaml.SafeLoader, node: yaml.Node, where: Where, lines: dict[Where, int], problems: list[str], path: Path
) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if isinstance(key, bool):
                key = key_node.value  # YAML 1.1 takes a plain yes, no, on or off for a truth value
            if not isinstance(key, str | int | bool):
                problems.append(f"{path}:{key_node.start_mark.line + 1}: key {key!r} is not a plain word")
                continue
            if key in result:
                problems.append(f"{path}:{key_node.start_mark.line + 1}: key {key!r} appears twice; keep one")
            lines[(*where, key)] = key_node.start_mark.line + 1
            result[key] = _build(loader, value_node, (*where, key), lines, problems, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*where, n), lines, problems, path) for n, item in enumerate(node.value)]
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:
        problems.append(f"{path}:{node.start_mark.line + 1}: {node.value!r}: {error}; put quotes around text")
        return None


def explain(file: YamlFile, error: ValidationError, known: Mapping[str, list[str]] | None = None) -> list[str]:
    """Turn a pydantic error about `file`'s data into `file:line: ...` lines with a remedy each."""
    problems = []
    for item in error.errors():
        where: Where = tuple(item["loc"])
        name = ".".join(str(part) for part in where) or "the file"
        if item["type"] == "extra_forbidden":
            message = f"unknown key '{name}'; remove it or correct its spelling"
        elif item["type"] == "missing":
            message = f"'{name}' is missing; add it"
        else:
            value = repr(item.get("input"))
            shown = value if len(value) <= 60 else value[:57] + "..."
            message = f"'{name}' is {shown}: {item['msg']}"
        problems.append(file.problem(where, message))
    return problems
