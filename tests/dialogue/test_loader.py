"""Domains that cannot work are refused with file, line and remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conversation import SHOP, ManualClock

from agent.dialogue.actions import open_actions
from agent.dialogue.loader import DomainError, load_domain
from agent.learning.opening import content_key
from models.training.examples import Span


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


def edit(folder: Path, name: str, old: str, new: str) -> int:
    """Replace the first `old` in a file; gives the line it stands on."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("name", "old", "new", "below", "message"),
    [
        ("domain.yaml", "language: en", "langage: en", 0, "unknown key 'langage'; remove it"),
        ("domain.yaml", "\nlanguage: en", "\nlanguage: []", 1, "'language' is []"),
        ("flows.yaml", "    title: your order\n", "    titel: your order\n", 0, "unknown key 'titel'"),
        ("flows.yaml", "if_no: keep", "if_no: keeep", 0, "jumps to 'keeep', which does not exist"),
        ("flows.yaml", 'if_yes: "flow:return_order"', 'if_yes: "flow:nowhere"', 0, "jumps to 'flow:nowhere'"),
        ("flows.yaml", "packed: packed\n", "packed: paked\n", 0, "jumps to 'paked'"),
        ("flows.yaml", "call: cancel_order", "call: cancel_ordr", 0, "action 'cancel_ordr' is not in domain.yaml"),
        ("flows.yaml", "ask: address", "ask: adress", 0, "slot 'adress' is not in intents.yaml"),
        ("flows.yaml", "intents: [cancel_order]", "intents: [cancel_ordre]", 0, "intent 'cancel_ordre' is not in"),
        ("flows.yaml", "{order.carrier}", "{ordre.carrier}", 0, "'{ordre.carrier}' names nothing"),
        ("flows.yaml", "{order.total|money}", "{order.total|mony}", 0, "unknown format 'mony'"),
        ("flows.yaml", "branch: order.status", "branch: ordr.status", 0, "'ordr.status' names nothing"),
        ("flows.yaml", "- end: ask", "- ende: ask", 0, "this step has no kind"),
        ("domain.yaml", "intent: human", "intent: humna", 0, "intent 'humna' is not in intents.yaml"),
        ("domain.yaml", "(lawyer|attorney", "(lawyer|(attorney", 0, "is not a regular expression"),
        ("intents.yaml", "email: {type: email,", "email: {type: e-mail,", 0, "type is 'e-mail'; give one of"),
        ("intents.yaml", "min_length: 5, max", "minimum: 5, max", 0, "digits has no option minimum"),
        ("domain.yaml", "remember: [order_number]", "remember: [ordernumber]", 0, "slot 'ordernumber' is not in"),
    ],
)
def test_refused_with_file_line_and_reason(
    folder: Path, name: str, old: str, new: str, below: int, message: str
) -> None:
    line = edit(folder, name, old, new) + below
    with pytest.raises(DomainError) as caught:
        load_domain(folder)
    assert any(f"{name}:{line}: " in problem and message in problem for problem in caught.value.problems), str(
        caught.value
    )


def test_missing_phrase_is_named(folder: Path) -> None:
    edit(folder, "domain.yaml", "  more_digits:", "  mor_digits:")
    edit(folder, "domain.yaml", "extends: common\n", "")
    with pytest.raises(DomainError) as caught:
        load_domain(folder)
    assert "phrase 'more_digits' is missing; add it under 'phrases'" in str(caught.value)
    assert "unknown phrase 'mor_digits'" in str(caught.value)


def test_all_problems_of_a_file_come_together(folder: Path) -> None:
    edit(folder, "flows.yaml", "ask: address", "ask: adress")
    edit(folder, "flows.yaml", "call: cancel_order", "call: cancel_ordr")
    edit(folder, "domain.yaml", "intent: human", "intent: humna")
    with pytest.raises(DomainError) as caught:
        load_domain(folder)
    text = str(caught.value)
    assert all(word in text for word in ("adress", "cancel_ordr", "humna"))


def test_an_intent_without_a_flow_leads_nowhere(folder: Path) -> None:
    edit(folder, "flows.yaml", "intents: [complaint]", "intents: []")
    with pytest.raises(DomainError, match="intent 'complaint' leads nowhere"):
        load_domain(folder)


def test_an_intent_needs_examples_to_learn_from(folder: Path) -> None:
    path = folder / "intents.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("intents:\n", "intents:\n  thin:\n    examples: [a, b, c, d]\n", 1), encoding="utf-8")
    with pytest.raises(DomainError, match=r"intents\.yaml:3: intent 'thin' has 4 examples; give at least 5"):
        load_domain(folder)


def test_missing_files_and_folders(folder: Path, tmp_path: Path) -> None:
    (folder / "flows.yaml").unlink()
    with pytest.raises(DomainError, match=r"flows\.yaml: cannot be read"):
        load_domain(folder)
    with pytest.raises(DomainError, match="no such folder"):
        load_domain(tmp_path / "nowhere")


def test_empty_section_is_refused(folder: Path) -> None:
    (folder / "knowledge" / "more.md").write_text("# More\n\n## What about this?\n> and this\n")
    with pytest.raises(DomainError, match=r"more\.md:3: section 'What about this\?' says nothing"):
        load_domain(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("domain.yaml", "actions:find_order", "actions:find_ordr", "entry point .* cannot be used"),
        ("domain.yaml", "actions:find_order", "store:open_shop", "is not `async def"),
        ("flows.yaml", 'arguments: {text: "{words}", ', "arguments: {", "needs the argument 'text'"),
        ("flows.yaml", '{text: "{words}", ', '{text: "{words}", colour: red, ', "takes no argument 'colour'"),
    ],
)
async def test_actions_are_checked_against_their_schema(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    edit(folder, name, old, new)
    with pytest.raises(DomainError, match=message):
        await open_actions(load_domain(folder), ManualClock(), f"sqlite+aiosqlite:///{folder}/shop.db")


async def test_a_domain_with_a_database_needs_its_url(folder: Path) -> None:
    with pytest.raises(DomainError, match="give its URL"):
        await open_actions(load_domain(folder), ManualClock(), None)


WITH_WISH = "slots:\n  wish: {type: text, description: what the caller would like}\n  order_number:"


def test_values_marked_in_examples_are_kept_beside_plain_text(folder: Path) -> None:
    edit(folder, "intents.yaml", "can I bring the stove on", "can I bring [the tiny gas stove](wish) [sic] on")
    edit(folder, "intents.yaml", "slots:\n  order_number:", WITH_WISH)
    intent = load_domain(folder).intents["product_question"]
    assert intent.examples[0] == "can I bring the tiny gas stove [sic] on an airplane"
    assert intent.marks == {intent.examples[0]: (Span(12, 30, "wish"),)}
    assert content_key(load_domain(folder)) != content_key(load_domain(SHOP))
    assert all(not other.marks for other in load_domain(SHOP).intents.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("can I bring the stove", "can I bring [the stove](wish)", "slot 'wish' is not under 'slots'; add it there"),
        ("can I bring the stove", "can I bring [](product)", "holds no value; write the words of the value"),
        ("can I bring the stove", "can I bring [the stove](the product)", "names no slot; write [value](slot_name)"),
        ("book me a campsite", "book me [a campsite](product)", "marks a value, but no slot is read there"),
    ],
)
def test_wrong_marks_are_refused_with_their_line(folder: Path, old: str, new: str, message: str) -> None:
    line = edit(folder, "intents.yaml", old, new)
    with pytest.raises(DomainError) as caught:
        load_domain(folder)
    assert [f"intents.yaml:{line}: " in problem and message in problem for problem in caught.value.problems] == [True]


def test_marks_are_no_key_of_an_intent(folder: Path) -> None:
    edit(folder, "intents.yaml", "slots: [product]\n", "slots: [product]\n    marks: {a: []}\n")
    with pytest.raises(DomainError, match="mark values inside the examples"):
        load_domain(folder)
