"""What a domain takes from the one it extends, and what of its own wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.dialogue.extending import SHIPPED, base_folder, merged_intents, merged_manner, read_files


@pytest.mark.parametrize(
    ("base", "own", "key", "expected"),
    [
        (
            {"phrases": {"hello": "Hi.", "bye": "Bye."}},
            {"phrases": {"hello": "Hey."}},
            "phrases",
            {"hello": "Hey.", "bye": "Bye."},
        ),
        (
            {"listening": {"slower": ["a"], "other": {}}},
            {"listening": {"slower": ["b"]}},
            "listening",
            {"slower": ["b"], "other": {}},
        ),
        (
            {"understanding": {"minimum": 0.4, "switch": 0.5}},
            {"understanding": {"minimum": 0.3}},
            "understanding",
            {"minimum": 0.3, "switch": 0.5},
        ),
        (
            {"emotion": {"upset": 0.4, "say": {"sad": ["a"], "angry": ["b"]}}},
            {"emotion": {"say": {"sad": ["c"]}}},
            "emotion",
            {"upset": 0.4, "say": {"sad": ["c"], "angry": ["b"]}},
        ),
        ({"actions": {"a": 1}}, {"actions": {"b": 2}}, "actions", {"b": 2}),
        ({"offer": "base"}, {}, "offer", "base"),
        ({"offer": "base"}, {"offer": "own"}, "offer", "own"),
        ({"phrases": {"hello": "Hi."}}, {"phrases": "nonsense"}, "phrases", "nonsense"),
    ],
)
def test_a_manner_takes_what_it_lacks(base: dict[str, Any], own: dict[str, Any], key: str, expected: Any) -> None:
    before = (repr(base), repr(own))
    assert merged_manner(base, own)[key] == expected
    assert (repr(base), repr(own)) == before


def test_own_rules_come_first_and_win_by_name() -> None:
    base = {"escalation": [{"name": "legal", "priority": 2}, {"name": "person"}]}
    own = {"escalation": [{"name": "theft"}, {"name": "legal", "priority": 9}]}
    rules = merged_manner(base, own)["escalation"]
    assert rules == [{"name": "theft"}, {"name": "legal", "priority": 9}, {"name": "person"}]


@pytest.mark.parametrize("own", [None, [], "nonsense"])
def test_rules_where_the_domain_has_none(own: Any) -> None:
    base = {"escalation": [{"name": "legal"}]}
    expected = own if own == "nonsense" else base["escalation"]
    assert merged_manner(base, {"escalation": own})["escalation"] == expected


@pytest.mark.parametrize("key", ["intents", "out_of_scope", "slots"])
def test_intents_groups_and_slots_win_by_name(key: str) -> None:
    merged = merged_intents({key: {"human": "theirs", "thanks": "theirs"}}, {key: {"human": "ours", "more": "ours"}})
    assert merged[key] == {"human": "ours", "more": "ours", "thanks": "theirs"}


def folder(path: Path, extends: str) -> Path:
    path.mkdir()
    (path / "domain.yaml").write_text(f"name: mine\nextends: {extends}\nphrases: {{hello: Hey.}}\n", encoding="utf-8")
    (path / "intents.yaml").write_text("intents: {mine: {examples: [a]}}\n", encoding="utf-8")
    (path / "flows.yaml").write_text("flows: {}\n", encoding="utf-8")
    return path


def test_a_domain_beside_it_is_taken_before_the_shipped_one(tmp_path: Path) -> None:
    mine = folder(tmp_path / "mine", "common")
    assert base_folder(mine, "common") == SHIPPED / "common"
    theirs = tmp_path / "common"
    theirs.mkdir()
    (theirs / "domain.yaml").write_text("phrases: {hello: Hi., bye: Ciao.}\n", encoding="utf-8")
    (theirs / "intents.yaml").write_text("intents: {human: {examples: [b]}}\n", encoding="utf-8")
    problems: list[str] = []
    files = read_files(mine, problems)
    assert problems == []
    assert files is not None
    assert files.manner.data["phrases"] == {"hello": "Hey.", "bye": "Ciao."}
    assert set(files.intents.data["intents"]) == {"mine", "human"}
    assert files.manner.problem(("phrases",), "x").startswith(f"{mine / 'domain.yaml'}:3")


def test_a_base_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    problems: list[str] = []
    assert read_files(folder(tmp_path / "mine", "comon"), problems) is None
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path / 'mine' / 'domain.yaml'}:2: there is no domain 'comon'")


@pytest.mark.parametrize("name", ["domain.yaml", "intents.yaml", "flows.yaml"])
def test_every_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    mine = folder(tmp_path / "mine", "common")
    (mine / name).write_text("- a list\n", encoding="utf-8")
    problems: list[str] = []
    assert read_files(mine, problems) is None
    assert [problem for problem in problems if str(mine / name) in problem and "holds no keys" in problem]
