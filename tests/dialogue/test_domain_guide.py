"""The example in docs/domains.md is a domain that loads, and its action runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from agent.clock import RealClock
from agent.config import HOME
from agent.dialogue.actions import open_actions
from agent.dialogue.checking import OWN_INTENTS
from agent.dialogue.loader import load_domain

GUIDE = HOME / "docs" / "domains.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's pieces as a folder, with phrases and small talk of the common base as the guide says."""
    pieces = dict(_pieces(GUIDE.read_text(encoding="utf-8")))
    assert set(pieces) == {
        "domain.yaml",
        "intents.yaml",
        "flows.yaml",
        "knowledge/practice.md",
        "clinic/actions.py",
    }
    for name, text in pieces.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    manner = (tmp_path / "domain.yaml").read_text(encoding="utf-8")
    if "extends: common" not in manner:
        (tmp_path / "domain.yaml").write_text(f"extends: common\n{manner}", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


async def test_the_example_of_the_guide_loads_and_its_action_runs_once(example: Path) -> None:
    domain = load_domain(example)
    assert domain.flow_of("book_appointment") == "book"
    assert [fact.source for fact in domain.facts] == [
        "practice.md#what-are-the-opening-hours",
        "practice.md#how-much-is-a-cleaning",
    ]
    actions = await open_actions(domain, RealClock(), "unused://")
    try:
        call = actions.for_call("c-1")
        arguments = {"day": date(2030, 5, 7), "phone": "+12125550100"}
        first, joined = call.start("book", arguments)
        acted = await first
        assert acted.ok
        assert (acted.result["outcome"], acted.result["day"]) == ("booked", "2030-05-07")
        _, joined = call.start("book", arguments)
        assert joined
    finally:
        await actions.close()


def test_the_guide_tells_of_every_kind_of_step_and_slot() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for word in ("say", "ask", "confirm", "call", "branch", "answer", "forget", "jump", "hand_off", "end", "hang_up"):
        assert f"`{word}" in text, word
    for intent in OWN_INTENTS:
        assert f"`{intent}`" in text, intent


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    for _, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first, _, rest = body.partition("\n")
        named = re.fullmatch(r"(?:# |<!-- )([\w/]+\.\w+)(?: -->)?", first)
        if named:
            yield named[1], rest
