"""YAML files: every value knows its line, and every way a file can be wrong is told with one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.yamlfile import FileError, explain, parse_yaml, read_yaml

FILE = Path("some.yaml")


def test_every_key_and_item_knows_its_line():
    file = parse_yaml("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", FILE)
    assert file.data == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert [file.line(where) for where in [("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "d")]] == [1, 2, 3, 4, 5]


def test_a_place_that_is_not_there_has_the_line_of_what_is_around_it():
    file = parse_yaml("a:\n  b: 1\n", FILE)
    assert file.line(("a", "b", "c", 3)) == 2
    assert file.line(("x",)) == 1
    assert file.problem(("a", "new"), "what") == "some.yaml:1: what"


def test_an_empty_file_holds_nothing():
    assert parse_yaml("", FILE).data is None
    assert parse_yaml("# a comment\n", FILE).data is None


def test_merge_keys_and_aliases_are_followed():
    assert parse_yaml("base: &b {x: 1}\nmore:\n  <<: *b\n  y: 2\n", FILE).data["more"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: [1,\n", "some.yaml:3: not valid YAML"),
        ("a: 1\na: 2\n", "some.yaml:2: key 'a' appears twice"),
        ("x:\n  1.5: a\n", "some.yaml:2: key 1.5 is not a plain word"),
        ("x:\n  ? [1, 2]\n  : a\n", "some.yaml:2: key"),
        ("a: 1\n---\nb: 2\n", "some.yaml:2: not valid YAML"),
        ("a: 1\nb: !!python/object:os.system x\n", "some.yaml:2: not valid YAML"),
        ("a: 1\nb: 2026-99-99\n", "some.yaml:2: '2026-99-99'"),
        ("a: \x07\n", "not valid YAML"),
        ("a: *nowhere\n", "some.yaml:1: not valid YAML"),
        ("a: \ud800\n", "not valid YAML"),
        ("a: &loop [*loop]\n", "holds itself"),
        ("a:\n  " + "[" * 5000, "some.yaml:2: nested too deeply"),
        ("[" * 1_000_000, "nested too deeply"),
        ("- " * 100_000, "nested too deeply"),
        ("{a: " * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, problem):
    with pytest.raises(FileError) as caught:
        parse_yaml(text, FILE)
    assert problem in str(caught.value)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`, \n\t0.<?~")) | st.text())
def test_any_text_is_read_or_refused_as_a_file(text):
    try:
        parse_yaml(text, FILE)
    except FileError as error:
        refused = error
    else:
        return
    assert all(problem.startswith("some.yaml") for problem in refused.problems)


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff\xfe\xfa")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    path = tmp_path / "f.yaml"
    make(path)
    with pytest.raises(FileError, match=r"f\.yaml: cannot be read"):
        read_yaml(path)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = 0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: Inner = Inner()


def test_wrong_values_are_explained_with_line_value_and_remedy():
    file = parse_yaml(f"inner:\n  count: {'x' * 100}\n  cuont: 1\n", FILE)
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(file.data)
    missing, wrong, unknown = explain(file, caught.value)
    assert missing == "some.yaml:1: 'name' is missing; add it"
    assert wrong.startswith("some.yaml:2: 'inner.count' is 'xxx")
    assert len(wrong) < 200
    assert unknown == "some.yaml:3: unknown key 'inner.cuont'; remove it or correct its spelling"
