"""Reading graph.yaml, and refusing one that could not answer: every problem with its file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.dialogue.knowledge.graph.model import Entity, Graph, PropertySpec, RelationSpec, TypeSpec, Value
from agent.dialogue.knowledge.terms import normal, pieces
from agent.dialogue.text import holes
from agent.dialogue.written import Part, Word
from agent.yamlfile import FileError, Where, YamlFile, explain, read_yaml

RESERVED = ("type", "names", "say")
"""Keys of an entity that are no properties."""
LANGUAGES = ("en", "zh")

_ONE = frozenset({"name", "value"})
_TEMPLATES: Mapping[str, frozenset[str]] = {
    "say": _ONE | {"values"}, "yes": frozenset({"name"}), "no": frozenset({"name"}),
    "compare": frozenset({"name", "value", "other", "other_value"}),
}  # fmt: skip
_RELATION_TEMPLATES: Mapping[str, frozenset[str]] = {"say": frozenset({"name", "values"}), "yes": _ONE, "no": _ONE}
_TYPE_TEMPLATES: Mapping[str, frozenset[str]] = {
    "list": frozenset({"names"}), "one": frozenset({"name"}), "several": frozenset({"names"}), "none": frozenset(),
}  # fmt: skip


class _Written(Part):
    language: Word = "en"
    types: Mapping[str, TypeSpec]
    properties: Mapping[str, PropertySpec] = {}
    relations: Mapping[str, RelationSpec] = {}
    entities: Mapping[str, Mapping[str, Any]]
    ignore: tuple[Word, ...] = ()


def read_graph(path: Path, problems: list[str]) -> Graph | None:
    """The graph in file `path`; None where there is none, or where problems were found, which are then appended."""
    if not path.exists():
        return None
    found: list[str] = []
    try:
        file = _spelt(read_yaml(path))
        written = _Written.model_validate(file.data)
    except FileError as error:
        problems += error.problems
        return None
    except ValidationError as error:
        problems += [problem.replace("Value error, ", "") for problem in explain(file, error)]
        return None
    found += _specs(file, written)
    reader = _Entities(file, written)
    entities = {name: reader.entity(name, values) for name, values in written.entities.items()}
    found += reader.problems
    if not found:
        found += _links(file, written, entities)
        found += _names(file, entities)
    if found:
        problems += found
        return None
    return Graph(path, written.language, written.types, written.properties, written.relations, entities, written.ignore)


def _spelt(file: YamlFile) -> YamlFile:
    """`file` with its keys `yes` and `no` as they are written; YAML 1.1 reads them as true and false."""
    lines = {tuple(_key(part) for part in where): line for where, line in file.lines.items()}
    return YamlFile(file.path, _spelt_data(file.data), lines)


def _key(part: Any) -> Any:
    return ("yes" if part else "no") if isinstance(part, bool) else part


def _spelt_data(data: Any) -> Any:
    return {_key(key): _spelt_data(value) for key, value in data.items()} if isinstance(data, dict) else data


def _specs(file: YamlFile, written: _Written) -> Iterator[str]:
    if written.language not in LANGUAGES:
        yield file.problem(("language",), f"'{written.language}' is not spoken here; give one of {LANGUAGES}")
    for name, kind in written.types.items():
        yield from _templates(file, ("types", name), kind, _TYPE_TEMPLATES)
        yield from _words(file, ("types", name, "words"), kind.words)
    for name, spec in written.properties.items():
        where: Where = ("properties", name)
        if name in RESERVED or name in written.relations:
            taken = "is a key of every entity" if name in RESERVED else "is a relation, too"
            yield file.problem(where, f"'{name}' {taken}; choose another name")
        for kind_name in spec.of:
            if kind_name not in written.types:
                yield file.problem((*where, "of"), f"type '{kind_name}' does not exist; add it under 'types'")
        yield from _templates(file, where, spec, _TEMPLATES)
        yield from _words(file, (*where, "words"), (*spec.words, *spec.unit, *spec.before))
        for key in ("least", "most", "zero"):
            extreme = getattr(spec, key)
            if extreme is not None:
                yield from _templates(file, (*where, key), extreme, {"say": _ONE})
                yield from _words(file, (*where, key, "words"), extreme.words)
    for name, relation in written.relations.items():
        where = ("relations", name)
        if name in RESERVED:
            yield file.problem(where, f"'{name}' is a key of every entity; choose another name")
        for end, kind_name in (("from", relation.from_), ("to", relation.to)):
            if kind_name not in written.types:
                yield file.problem((*where, end), f"type '{kind_name}' does not exist; add it under 'types'")
        yield from _templates(file, where, relation, _RELATION_TEMPLATES)
        yield from _words(file, (*where, "words"), relation.words)


def _templates(file: YamlFile, where: Where, spec: Part, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for key, names in known.items():
        for hole, form in holes(getattr(spec, key) or ""):
            if hole not in names or form is not None:
                may = ", ".join(f"{{{name}}}" for name in sorted(names)) or "no holes"
                yield file.problem((*where, key), f"'{{{hole}}}' cannot be filled here; this sentence may use {may}")


def _words(file: YamlFile, where: Where, words: tuple[str, ...]) -> Iterator[str]:
    for word in words:
        if not pieces(word):
            yield file.problem(where, f"'{word}' holds no word; write what callers say")


@dataclass
class _Entities:
    """Reads entities one by one and keeps what is wrong with them."""

    file: YamlFile
    written: _Written
    problems: list[str] = field(default_factory=list)

    def entity(self, name: str, data: Mapping[str, Any]) -> Entity:
        """The entity, as far as it can be read."""
        kind = data.get("type")
        if kind not in self.written.types:
            there = ", ".join(self.written.types)
            self._problem(name, "type", f"type {kind!r} does not exist; give one of {there}")
        names = data.get("names", [])
        if not _texts(names) or not all(pieces(text) for text in names):
            self._problem(name, "names", f"'names' is {names!r}; list what callers call it")
            names = [name]
        say = data.get("say", names[0])
        if not isinstance(say, str) or not say.strip():
            self._problem(name, "say", f"'say' is {say!r}; write how it is spoken")
            say = names[0]
        values: dict[str, Value] = {}
        spoken: dict[str, str] = {}
        links: dict[str, tuple[str, ...]] = {}
        for key, value in data.items():
            if key in self.written.relations:
                links[key] = self._linked(name, key, value)
            elif key in self.written.properties:
                self._value(name, key, value, str(kind), values, spoken)
            elif key not in RESERVED:
                self._problem(name, key, f"'{key}' is no property and no relation; add it, or correct it")
        return Entity(name, str(kind), tuple(names), say, values, spoken, links)

    def _value(
        self, name: str, key: str, value: Any, kind: str, values: dict[str, Value], spoken: dict[str, str]
    ) -> None:
        spec = self.written.properties[key]
        if kind not in spec.of:
            self._problem(name, key, f"'{key}' is for {', '.join(spec.of)}, not {kind}; add {kind} to its 'of'")
        if isinstance(value, dict):
            if set(value) != {"value", "say"} or not isinstance(value["say"], str):
                self._problem(name, key, f"'{key}' is {value!r}; give a value, or {{value: ..., say: text}}")
                return
            spoken[key] = value["say"]
            value = value["value"]
        read = _typed(value, spec)
        if read is None:
            wanted = {"money": "a number that is not negative", "number": "a number", "yes_no": "yes or no",
                      "text": "a text", "list": "a list of texts"}[spec.kind]  # fmt: skip
            self._problem(name, key, f"'{key}' is {value!r}; give {wanted}")
        else:
            values[key] = read

    def _linked(self, name: str, key: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self._problem(name, key, f"'{key}' is {value!r}; list the names of entities")
        return ()

    def _problem(self, name: str, key: str, message: str) -> None:
        self.problems.append(self.file.problem(("entities", name, key), f"entity '{name}': {message}"))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _typed(value: Any, spec: PropertySpec) -> Value | None:
    if spec.kind == "yes_no":
        return value if isinstance(value, bool) else None
    if spec.kind == "text":
        return value if isinstance(value, str) and value.strip() else None
    if spec.kind == "list":
        return tuple(value) if _texts(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and (spec.kind == "number" or number >= 0) else None


def _links(file: YamlFile, written: _Written, entities: Mapping[str, Entity]) -> Iterator[str]:
    for name, entity in entities.items():
        for key, targets in entity.links.items():
            where, relation = ("entities", name, key), written.relations[key]
            if entity.type != relation.from_:
                yield file.problem(where, f"'{key}' is for {relation.from_}, but '{name}' is a {entity.type}; drop it")
            for target in targets:
                if target not in entities:
                    yield file.problem(where, f"entity '{target}' does not exist; add it or correct its spelling")
                elif entities[target].type != relation.to:
                    what = f"'{target}' is a {entities[target].type}, but '{key}' leads to {relation.to}; correct one"
                    yield file.problem(where, what)


def _names(file: YamlFile, entities: Mapping[str, Entity]) -> Iterator[str]:
    """Names that two entities of one type share."""
    owners: dict[tuple[str, tuple[str, ...]], str] = {}
    for name, entity in entities.items():
        for text in dict.fromkeys(entity.names):
            key = (entity.type, tuple(normal(piece) for piece in pieces(text)))
            other = owners.setdefault(key, name)
            if other != name:
                yield file.problem(
                    ("entities", name, "names"), f"'{text}' is a name of '{other}', too; give it to one of them"
                )
