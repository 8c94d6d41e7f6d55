"""`agent bench`: what it says and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli.main import app
from agent.lab.bench import BenchFailed, BenchStep, digest
from agent.lab.load import LoadTurn

URL = "ws://127.0.0.1:9"


def step(calls: int, answered_ms: float) -> BenchStep:
    return digest(calls, 40.0, [LoadTurn(n, "where", float(n), answered_ms, answered_ms, False) for n in range(20)])


def scripted(monkeypatch: pytest.MonkeyPatch, steps: list[BenchStep], error: Exception | None = None) -> None:
    async def bench(*given: Any) -> None:
        for one in steps:
            given[-1](one)
        if error is not None:
            raise error

    monkeypatch.setattr("agent.cli.bench.run", bench)


def test_the_calls_held_and_a_limit_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scripted(monkeypatch, [step(8, 500.0), step(12, 1900.0)])
    file = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "--url", URL, "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "8 calls were held" in done.output
    assert "server.max_calls: 8" in done.output
    figures = json.loads(file.read_text())["figures"]
    assert [one["calls"] for one in figures["steps"]] == [8, 12]


def test_not_even_the_first_step_held_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [step(8, 1900.0)])
    done = CliRunner().invoke(app, ["bench", "--url", URL, "--from", "8", "--to", "8"])
    assert done.exit_code == 1
    assert "Not even 8 calls" in done.output


def test_a_server_that_goes_away_leaves_a_partial_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scripted(monkeypatch, [step(4, 500.0)], BenchFailed("nobody answers any more"))
    file = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "--url", URL, "--json", str(file), "--markdown"])
    assert done.exit_code == 2
    assert "nobody answers any more" in done.output
    assert "4 calls were held" in done.output
    assert json.loads(file.read_text())["figures"]["stopped"] == "nobody answers any more"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--url", URL], "cannot be reached"),
        (["--from", "4", "--to", "2"], "--to is 2"),
        (["--url", "ftp://here"], "--url is 'ftp://here'"),
    ],
)
def test_what_cannot_be_carried_through_is_said_and_status_2(options: list[str], says: str) -> None:
    done = CliRunner().invoke(app, ["bench", *options])
    assert done.exit_code == 2
    assert says in done.output
