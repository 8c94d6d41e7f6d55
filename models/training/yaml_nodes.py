"""YAML read with the line of each value, for messages; keys and words stay as written (`yes` is no truth value)."""

from __future__ import annotations

from pathlib import Path

import yaml

from models.training.examples import DataError
from models.training.reading.source import Problems, read_text, shown

Fields = dict[str, tuple[yaml.Node, int]]
"""The value and the line (from 1) of each key."""


def document(path: Path) -> yaml.Node | None:
    """The root of a YAML file, None where it is empty.

    Raises:
        DataError: it cannot be read, is not UTF-8 or not YAML; names the line.
    """
    text = read_text(path)
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        return loader.get_single_node()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or error
        raise DataError([f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {reason}; correct it"]) from None
    finally:
        if loader is not None:
            loader.dispose()


def line_of(node: yaml.Node) -> int:
    """The line that `node` starts on, from 1."""
    return int(node.start_mark.line) + 1


def mapping(node: yaml.Node | None, path: Path, name: str, problems: Problems) -> Fields:
    """The fields of a mapping; what is none, and keys named twice, go to `problems`."""
    if not isinstance(node, yaml.MappingNode):
        line = 1 if node is None else line_of(node)
        problems.add(f"{path}:{line}", f"{name} is no list of `key: value`; write it so")
        return {}
    out: Fields = {}
    for key, value in node.value:
        line = line_of(key)
        if not isinstance(key, yaml.ScalarNode):
            problems.add(f"{path}:{line}", f"a key of {name} is no word; write one")
        elif key.value in out:
            problems.add(f"{path}:{line}", f"key {key.value!r} of {name} is named twice; keep one")
        else:
            out[key.value] = (value, line)
    return out


def items(node: yaml.Node, path: Path, name: str, problems: Problems) -> list[yaml.Node]:
    """The items of a list; what is none goes to `problems`."""
    if not isinstance(node, yaml.SequenceNode):
        problems.add(f"{path}:{line_of(node)}", f"{name} is no list; write `- item` each")
        return []
    return list(node.value)


def text_in(node: yaml.Node | None, path: Path, name: str, problems: Problems) -> str | None:
    """The word or text of a value, as written."""
    if isinstance(node, yaml.ScalarNode) and node.value.strip():
        return str(node.value).strip()
    line = 1 if node is None else line_of(node)
    problems.add(f"{path}:{line}", f"{name} is no word; write one")
    return None


def count_in(node: yaml.Node, path: Path, name: str, problems: Problems) -> int | None:
    """A whole number above 0."""
    written = node.value if isinstance(node, yaml.ScalarNode) else ""
    if written.isascii() and written.isdigit() and int(written) > 0:
        return int(written)
    problems.add(f"{path}:{line_of(node)}", f"{name} is {shown(written)}; give a whole number above 0")
    return None


def number_in(node: yaml.Node, path: Path, name: str, problems: Problems) -> float | None:
    """A number above 0."""
    written = node.value if isinstance(node, yaml.ScalarNode) else ""
    try:
        value = float(written)
    except ValueError:
        value = 0.0
    if 0 < value < float("inf"):
        return value
    problems.add(f"{path}:{line_of(node)}", f"{name} is {shown(written)}; give a number above 0")
    return None
