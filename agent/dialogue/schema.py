"""Checks JSON values against the part of JSON Schema (draft 2020-12) that OpenAPI 3 files use. Pure.

Checked: type, nullable, enum, const, properties, required, additionalProperties, items, minItems, maxItems, minimum,
maximum and the exclusive forms of both drafts, minLength, maxLength, pattern, the formats date, date-time and uuid,
allOf, anyOf, oneOf, and `$ref` inside the document. Other words are not checked.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

DEEPEST = 32
"""Nesting of values that is checked; what goes deeper is refused."""

Schema = Mapping[str, Any]

SHORT: Mapping[str, Schema] = {
    "any": {},
    "text": {"type": "string"},
    "string": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array"},
    "object": {"type": "object"},
    "date": {"type": "string", "format": "date"},
    "money": {
        "type": "object",
        "required": ["minor", "currency"],
        "properties": {"minor": {"type": "integer"}, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}},
    },
}
"""Schemas that have a word in domain files."""

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}


def _iso(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return fits


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date": lambda text: re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None and _iso(date.fromisoformat)(text),
    "date-time": lambda text: "T" in text.upper() and _iso(datetime.fromisoformat)(text),
    "uuid": _iso(uuid.UUID),
}


def check(value: Any, schema: Schema, document: Any = None, where: str = "") -> Iterator[str]:
    """What is wrong with `value`, one sentence each, naming fields, kinds and limits but never the value itself.

    `document` is what `$ref` points into; `where` is the path of the value.
    """
    yield from _check(value, schema, document, where, 0)


def unusable(schema: Any, document: Any = None) -> Iterator[str]:
    """What is wrong with a schema itself: unknown types, broken patterns, references that lead nowhere or elsewhere."""
    yield from _unusable(schema, document, set(), "")


def follow(document: Any, reference: str) -> Any:
    """What a reference `#/a/b` points at (RFC 6901).

    Raises:
        ValueError: it points outside the document, or at nothing.
    """
    if not reference.startswith("#/"):
        raise ValueError(f"reference '{reference}' leads outside the file; copy what it names into the file")
    found = document
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise ValueError(f"reference '{reference}' names nothing; correct it")
    return found


def finite(value: Any, depth: int = 0) -> Iterator[str]:
    """What in a value cannot be JSON: numbers that are not finite, keys that are no texts, other objects, depth."""
    if depth > DEEPEST:
        yield f"is nested more than {DEEPEST} deep"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield "has a number that is not finite"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield f"has a key that is a {type(key).__name__}"
            yield from finite(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from finite(inner, depth + 1)
    elif value is not None and not isinstance(value, str | int):
        yield f"has a {type(value).__name__}, which is not JSON"


def _check(value: Any, schema: Any, document: Any, where: str, depth: int) -> Iterator[str]:
    here = where or "it"
    if schema is True or schema is None:
        return
    if depth > DEEPEST:
        yield f"{here} is nested more than {DEEPEST} deep"
        return
    if schema is False:
        yield f"{here} is not expected"
        return
    if "$ref" in schema:
        yield from _check(value, follow(document, schema["$ref"]), document, where, depth + 1)
        return
    if value is None and schema.get("nullable") is True:
        return
    types = schema.get("type")
    if types is not None:
        allowed = [types] if isinstance(types, str) else list(types)
        if not any(_TYPES[name](value) for name in allowed):
            yield f"{here} is {_kind(value)}, not {' or '.join(allowed)}"
            return
    if "enum" in schema and not any(_same(value, known) for known in schema["enum"]):
        yield f"{here} is none of {', '.join(str(known) for known in schema['enum'])}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{here} is not {schema['const']}"
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{here} is not a finite number"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, here)
    elif isinstance(value, str):
        yield from _text(value, schema, here)
    elif isinstance(value, list | tuple):
        yield from _length(len(value), schema, "minItems", "maxItems", here, "items")
        for n, item in enumerate(value):
            yield from _check(item, schema.get("items"), document, f"{where}.{n}".lstrip("."), depth + 1)
    elif isinstance(value, Mapping):
        yield from _object(value, schema, document, where, depth)
    for inner in schema.get("allOf", ()):
        yield from _check(value, inner, document, where, depth + 1)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            fitting = sum(not any(_check(value, inner, document, where, depth + 1)) for inner in schema[word])
            if fitting == 0 or (word == "oneOf" and fitting > 1):
                yield f"{here} fits {'none' if fitting == 0 else 'more than one'} of its {len(schema[word])} forms"


def _number(value: int | float, schema: Schema, here: str) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    # OpenAPI 3.0 writes the exclusive limits as true beside the limit, 3.1 as numbers.
    if above is True:
        low, above = None, low
    if below is True:
        high, below = None, high
    if low is not None and value < low:
        yield f"{here} is less than {low}"
    if high is not None and value > high:
        yield f"{here} is more than {high}"
    if above not in (None, False) and value <= above:
        yield f"{here} is not more than {above}"
    if below not in (None, False) and value >= below:
        yield f"{here} is not less than {below}"


def _text(value: str, schema: Schema, here: str) -> Iterator[str]:
    yield from _length(len(value), schema, "minLength", "maxLength", here, "characters")
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield f"{here} does not look like {schema['pattern']}"
    form = str(schema.get("format"))
    if form in _FORMATS and not _FORMATS[form](value):
        yield f"{here} is not a {form}"


def _length(length: int, schema: Schema, least: str, most: str, here: str, what: str) -> Iterator[str]:
    if length < schema.get(least, 0):
        yield f"{here} has {length} {what}, fewer than {schema[least]}"
    if most in schema and length > schema[most]:
        yield f"{here} has {length} {what}, more than {schema[most]}"


def _object(value: Mapping[str, Any], schema: Schema, document: Any, where: str, depth: int) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{f'{where}.{name}'.lstrip('.')} is missing"
    for name, inner in value.items():
        path = f"{where}.{name}".lstrip(".")
        if name in properties:
            yield from _check(inner, properties[name], document, path, depth + 1)
        elif "additionalProperties" in schema:
            yield from _check(inner, schema["additionalProperties"], document, path, depth + 1)


def _unusable(schema: Any, document: Any, seen: set[str], where: str) -> Iterator[str]:
    here = where or "the schema"
    if schema is None or isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"{here} is a {type(schema).__name__}, not a schema"
        return
    reference = schema.get("$ref")
    if reference is not None:
        if reference in seen:
            return
        seen.add(reference)
        try:
            yield from _unusable(follow(document, str(reference)), document, seen, str(reference))
        except ValueError as error:
            yield str(error)
        return
    types = schema.get("type", [])
    for name in [types] if not isinstance(types, list) else types:
        if name not in _TYPES:
            yield f"{here} has the type '{name}'; use one of {', '.join(_TYPES)}"
    for word, kind in _KINDS.items():
        if word in schema and not isinstance(schema[word], kind):
            yield f"{here} has a {type(schema[word]).__name__} as '{word}'"
            return
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            yield f"{here} has the pattern '{schema['pattern']}', which is no regular expression: {error}"
    for name, inner in schema.get("properties", {}).items():
        yield from _unusable(inner, document, seen, f"{where}.{name}".lstrip("."))
    for word in ("items", "additionalProperties"):
        yield from _unusable(schema.get(word), document, seen, f"{where}.{word}".lstrip("."))
    for word in ("allOf", "anyOf", "oneOf"):
        for n, inner in enumerate(schema.get(word, ())):
            yield from _unusable(inner, document, seen, f"{where}.{word}.{n}".lstrip("."))


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "properties": Mapping,
    "required": list,
    "enum": list,
    "allOf": list,
    "anyOf": list,
    "oneOf": list,
    "pattern": str,
    "minLength": int,
    "maxLength": int,
    "minItems": int,
    "maxItems": int,
    "minimum": (int, float),
    "maximum": (int, float),
    "exclusiveMinimum": (int, float),
    "exclusiveMaximum": (int, float),
}


def _kind(value: Any) -> str:
    for name in ("null", "boolean", "string", "integer", "number", "array", "object"):
        if _TYPES[name](value):
            return name
    return type(value).__name__


def _same(value: Any, known: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(value, bool) == isinstance(known, bool) and bool(value == known)
