"""Steps that could not work are refused with their line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.dialogue.loader import DomainError, load_domain
from agent.lab.authoring.graph import edges

LIBRARY = Path(__file__).parent / "library"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("flows.yaml", "actions: [find_book, reserve]", "actions: [find_book, reserv]", "action 'reserv' is not in"),
        (
            "flows.yaml",
            "actions: [find_book, reserve]",
            "actions: [pay]",
            "'pay' changes something; give it a question",
        ),
        ("flows.yaml", "actions: [find_book, reserve]", "actions: [check_pin]", "'check_pin' takes secrets"),
        ("flows.yaml", "otherwise: alone", "otherwise: nobody", "jumps to 'nobody', which does not exist"),
        ("flows.yaml", "branch: helped.action", "branch: help.action", "'help.action' names nothing"),
        ("flows.yaml", "most_turns: 3", "most_turns: 0", "'most_turns' is 0"),
        ("flows.yaml", "- do: pick_day", "- do: room", "flow 'room' cannot be run from here"),
        ("flows.yaml", "verified: proof", "verified: prof", "'prof' is no result of this flow"),
        ("domain.yaml", "{day|date}?", "{day|dat}?", "unknown format in '{day|dat}' of 'confirm' of action 'reserve'"),
        ("domain.yaml", "identity: {flow: verify,", "identity: {flow: verfy,", "flow 'verfy' does not exist"),
    ],
)
def test_refused_with_its_line(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    folder = Path(shutil.copytree(LIBRARY, tmp_path / "library"))
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    manner = (folder / "domain.yaml").read_text(encoding="utf-8")
    (folder / "domain.yaml").write_text(manner.replace("languages: [zh]\n", ""), encoding="utf-8")
    with pytest.raises(DomainError) as caught:
        load_domain(folder)
    assert [one for one in caught.value.problems if message in one and f"{path.parent}" in one], str(caught.value)


def test_both_ways_on_from_a_model_are_drawn() -> None:
    flow = load_domain(LIBRARY).flows["advise"]
    assert [(edge.target, edge.label) for edge in edges(flow) if edge.source == 0] == [
        (1, ""),
        (flow.index("alone"), "otherwise"),
    ]
