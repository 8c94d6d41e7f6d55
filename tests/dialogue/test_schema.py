"""Values against schemas, and schemas against sense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.dialogue.schema import DEEPEST, SHORT, check, finite, follow, unusable

DOCUMENT = {
    "components": {
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["number"],
                "properties": {
                    "number": {"type": "string", "pattern": "^\\d{5}$"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
                },
            },
            "a/b": {"type": "integer"},
        }
    }
}
ORDER = {"$ref": "#/components/schemas/Order"}


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        (3, {"type": "integer"}, None),
        (3.0, {"type": "integer"}, None),
        (3.5, {"type": "integer"}, "is number, not integer"),
        (True, {"type": "integer"}, "is boolean, not integer"),
        (True, {"enum": [1]}, "is none of 1"),
        ("x", {"type": ["string", "null"]}, None),
        (None, {"type": ["string", "null"]}, None),
        (None, {"type": "string"}, "is null, not string"),
        (None, {"type": "string", "nullable": True}, None),
        ("maybe", {"enum": ["shipped", "delivered"]}, "is none of shipped, delivered"),
        ("b", {"const": "a"}, "is not a"),
        (float("nan"), {"type": "number"}, "is not a finite number"),
        (4, {"minimum": 5}, "is less than 5"),
        (5, {"exclusiveMinimum": 5}, "is not more than 5"),
        (5, {"minimum": 5, "exclusiveMinimum": True}, "is not more than 5"),
        (6, {"maximum": 5}, "is more than 5"),
        (5, {"maximum": 5, "exclusiveMaximum": True}, "is not less than 5"),
        (5, {"exclusiveMaximum": 5}, "is not less than 5"),
        ("", {"minLength": 1}, "has 0 characters, fewer than 1"),
        ("abc", {"maxLength": 2}, "has 3 characters, more than 2"),
        ("4271", {"pattern": "^\\d{5}$"}, "does not look like ^\\d{5}$"),
        ("2026-02-29", {"format": "date"}, "is not a date"),
        ("20260228", {"format": "date"}, "is not a date"),
        ("2026-02-28", {"format": "date"}, None),
        ("2026-02-28T10:00:00Z", {"format": "date-time"}, None),
        ("2026-02-28", {"format": "date-time"}, "is not a date-time"),
        ("x", {"format": "uuid"}, "is not a uuid"),
        ("x", {"format": "colour"}, None),
        ([1], {"minItems": 2}, "has 1 items, fewer than 2"),
        ([1, "2"], {"items": {"type": "integer"}}, "1 is string, not integer"),
        ({}, {"required": ["a"]}, "a is missing"),
        ({"a": 1}, {"additionalProperties": False}, "a is not expected"),
        ({"a": "1"}, {"additionalProperties": {"type": "integer"}}, "a is string, not integer"),
        (1, {"allOf": [{"type": "integer"}, {"minimum": 2}]}, "is less than 2"),
        (1, {"anyOf": [{"type": "string"}, {"minimum": 2}]}, "fits none of its 2 forms"),
        (1, {"oneOf": [{"type": "integer"}, {"minimum": 0}]}, "fits more than one of its 2 forms"),
        ({"number": "42718", "parts": [{"number": "42719"}]}, ORDER, None),
        ({"number": "42718", "parts": [{"number": "7"}]}, ORDER, "parts.0.number does not look like ^\\d{5}$"),
        ({"minor": 1250, "currency": "USD"}, SHORT["money"], None),
        ({"minor": 12.5, "currency": "USD"}, SHORT["money"], "minor is number, not integer"),
    ],
)
def test_values(value: Any, schema: dict[str, Any], problem: str | None) -> None:
    found = list(check(value, schema, DOCUMENT))
    assert found == ([] if problem is None else [problem if problem[0] in "1abmp" else f"it {problem}"])


def test_a_problem_never_tells_the_value() -> None:
    schema = {"properties": {"pin": {"type": "string", "pattern": "^\\d{4}$", "maxLength": 4}}}
    problems = " ".join(check({"pin": "secret-4821"}, schema))
    assert "pin" in problems
    assert "4821" not in problems


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "text"}, "type 'text'"),
        ({"pattern": "("}, "no regular expression"),
        ({"$ref": "other.yaml#/Order"}, "outside the file"),
        ({"$ref": "#/components/schemas/Nothing"}, "names nothing"),
        ({"properties": {"a": {"items": {"type": "x"}}}}, "a.items has the type 'x'"),
        ({"properties": []}, "a list as 'properties'"),
        ({"minLength": "1"}, "a str as 'minLength'"),
        ("string", "is a str, not a schema"),
    ],
)
def test_schemas_that_cannot_be_used(schema: Any, problem: str) -> None:
    assert problem in " ".join(unusable(schema, DOCUMENT))


def test_schemas_may_go_round() -> None:
    assert list(unusable(ORDER, DOCUMENT)) == []
    assert follow(DOCUMENT, "#/components/schemas/a~1b") == {"type": "integer"}
    deep: dict[str, Any] = {"number": "42718"}
    for _ in range(DEEPEST):
        deep = {"number": "42718", "parts": [deep]}
    assert "nested more than" in " ".join(check(deep, ORDER, DOCUMENT))


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_is_finite_and_schemas_never_break_on_it(value: Any) -> None:
    assert not [problem for problem in finite(value) if "nested" not in problem]
    list(check(value, ORDER, DOCUMENT))
    list(unusable(value, DOCUMENT))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": [float("inf")]}, "not finite"),
        ({1: 2}, "key that is a int"),
        ({"a": {1}}, "has a set"),
        (b"x", "has a bytes"),
    ],
)
def test_what_is_not_json(value: Any, problem: str) -> None:
    assert problem in " ".join(finite(value))
