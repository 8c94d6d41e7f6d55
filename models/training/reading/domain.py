"""The examples of a domain's `intents.yaml`, read as training data: no check of the domain itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from models.contracts import OUT_OF_SCOPE
from models.training.examples import DataError, Span
from models.training.reading.marks import unmark
from models.training.reading.source import Labelled, Problems, make_example, read_text, shown


def read_domain(path: Path, problems: Problems) -> list[Labelled]:
    """The examples of each intent, those of `out_of_scope` with that label, and their marked slot values as spans.

    Where no example of the file has a mark, spans are unknown; where one has, what is not marked is no value.

    Raises:
        DataError: the file cannot be read or is not UTF-8. Everything else is noted in `problems`.
    """
    text = read_text(path)
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or error
        problems.add(f"{path}:{mark.line + 1 if mark else 1}", f"not valid YAML: {reason}; correct it")
        return []
    finally:
        if loader is not None:
            loader.dispose()
    intents = _entry(node, "intents")
    if not isinstance(intents, yaml.MappingNode):
        problems.add(f"{path}:1", "no intents; write `intents:` with a list of `examples` below each name")
        return []
    slots = _entry(node, "slots")
    declared = {key.value for key, _ in slots.value} if isinstance(slots, yaml.MappingNode) else None
    rows: list[tuple[str, str, str, tuple[Span, ...]]] = []
    for key, value in intents.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.add(f"{path}:{key.start_mark.line + 1}", "the name of an intent is no word; write one")
            continue
        rows += _texts(path, key.value, _entry(value, "examples"), declared, problems)
    rows += _texts(path, OUT_OF_SCOPE, _entry(_entry(node, OUT_OF_SCOPE), "examples"), declared, problems)
    marked = any(spans for *_, spans in rows)
    out = []
    for origin, intent, said, spans in rows:
        example = make_example(problems, origin, said, intent=intent, spans=spans if marked else None)
        if example is not None:
            out.append(Labelled(example))
    return out


def _entry(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of `key` in a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if isinstance(name, yaml.ScalarNode) and name.value == key), None)


def _texts(
    path: Path, intent: str, node: yaml.Node | None, declared: set[str] | None, problems: Problems
) -> Iterator[tuple[str, str, str, tuple[Span, ...]]]:
    """(origin, intent, text, spans) of each example in a list."""
    if node is None:
        return
    if not isinstance(node, yaml.SequenceNode):
        problems.add(f"{path}:{node.start_mark.line + 1}", f"examples of {intent!r} are no list; write `- text` each")
        return
    for item in node.value:
        origin = f"{path}:{item.start_mark.line + 1}"
        if not isinstance(item, yaml.ScalarNode) or not item.tag.endswith(":str"):
            problems.add(origin, f"example {shown(item.value)} of {intent!r} is no text; put it in quotes")
            continue
        try:
            said, spans = unmark(item.value)
        except DataError as error:
            for problem in error.problems:
                problems.add(origin, problem)
            continue
        unknown = [span.name for span in spans if declared is not None and span.name not in declared]
        if unknown:
            problems.add(origin, f"slot {unknown[0]!r} is not declared below `slots:`; declare it or correct the mark")
            continue
        yield origin, intent, said, spans
