from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from agent.config import CONFIGS
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.steps import Step
from audio.damage import LineDamageSpec

FOLDER = CONFIGS / "scenarios"
DEMONSTRATIONS = {"demo", "latency"}
SUITE = sorted(path for path in FOLDER.glob("*.yaml") if path.stem not in DEMONSTRATIONS)
COMPLAINTS = frozenset(
    "cough back_channel tv echo speakerphone digits spelling email address rambling hang_up barge_in disclosure"
    " double_talk second_talker noise loss jitter quiet silence dtmf correction anger handoff yes_no hesitation fast"
    " goodbye out_of_scope alaw plain".split()
)
"""What callers complain about, as tags; a report is read by them."""


@cache
def read(path: Path) -> Scenario:
    return read_scenario(path)


@pytest.fixture(scope="module")
def suite() -> dict[str, Scenario]:
    return {path.stem: read(path) for path in SUITE}


def short() -> list[str]:
    lines = (FOLDER / "short.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def steps(suite: dict[str, Scenario], action: str) -> list[Step]:
    return [step for scenario in suite.values() for step in scenario.script.steps if step.action == action]


def test_every_complaint_has_a_scenario(suite: dict[str, Scenario]) -> None:
    assert len(suite) >= 25
    assert {tag for scenario in suite.values() for tag in scenario.script.tags} >= COMPLAINTS


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_a_scenario_expects_something_and_ends(path: Path) -> None:
    script = read(path).script
    assert script.tags
    assert script.description.endswith(".")
    assert script.expect or any(step.expect is not None for step in script.steps)
    last = script.steps[-1]
    ends = {end.ended_by for end in script.expect}
    assert last.hang_up or last.hang_up_after is not None or "agent" in ends


def test_every_kind_of_step_and_of_damage_is_used(suite: dict[str, Scenario]) -> None:
    for action in ("say", "backchannel", "noise", "dictate", "spell", "press", "hold_silence", "wait_for", "expect"):
        assert steps(suite, action), action
    damaged = {name for scenario in suite.values() for name in scenario.script.line.model_fields_set}
    assert damaged == set(LineDamageSpec.__dataclass_fields__)


def test_digits_are_dictated_with_pauses_of_one_and_a_half_seconds(suite: dict[str, Scenario]) -> None:
    assert max(step.pause_ms for step in steps(suite, "dictate")) >= 1500


def test_callers_differ(suite: dict[str, Scenario]) -> None:
    assert len({scenario.script.voice for scenario in suite.values()}) >= 4


def test_the_short_suite_is_short_and_has_what_broke_most_often(suite: dict[str, Scenario]) -> None:
    names = [name.removesuffix(".yaml") for name in short()]
    assert 6 <= len(names) <= 8
    assert len(set(names)) == len(names)
    tags = {tag for name in names for tag in suite[name].script.tags}
    assert tags >= {"digits", "pauses", "cough", "echo", "barge_in", "correction"}
