"""The example in docs/domains.md is a domain that loads, and its action runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml

from agent.clock import RealClock
from agent.config import CONFIGS, HOME
from agent.dialogue.actions import open_actions
from agent.dialogue.checking import OWN_INTENTS
from agent.dialogue.loader import load_domain

GUIDE = HOME / "docs" / "domains.md"
SHOP = CONFIGS / "domains" / "shop"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's pieces as a folder, with phrases and small talk of the shop as the guide says."""
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
    shop = yaml.safe_load((SHOP / "domain.yaml").read_text(encoding="utf-8"))
    with (tmp_path / "domain.yaml").open("a", encoding="utf-8") as file:
        yaml.safe_dump({"phrases": shop["phrases"]}, file)
    intents = yaml.safe_load(pieces["intents.yaml"])
    shop_intents = yaml.safe_load((SHOP / "intents.yaml").read_text(encoding="utf-8"))["intents"]
    intents["intents"] |= {name: {"examples": shop_intents[name]["examples"]} for name in sorted(OWN_INTENTS)}
    (tmp_path / "intents.yaml").write_text(yaml.safe_dump(intents), encoding="utf-8")
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
