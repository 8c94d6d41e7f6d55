"""`agent evaluate` against a real server with real models."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from agent.cli.main import app
from agent.config import CONFIGS

pytestmark = pytest.mark.slow


@pytest.fixture
def figures(tmp_path):
    """Run `agent evaluate WORDS` and give its figures."""

    def run(*words):
        out = tmp_path / "figures.json"
        result = CliRunner().invoke(
            app, ["evaluate", *words, "--json", str(out), "--keep", str(tmp_path / "kept")], catch_exceptions=False
        )
        assert result.exit_code == 0, result.stderr
        return json.loads(out.read_text())["figures"]

    return run


def test_answers_are_timed_at_both_ends(figures, tmp_path):
    scenarios = CONFIGS / "scenarios"
    script = yaml.safe_load((scenarios / "latency.yaml").read_text())
    script["steps"] = [
        {"wait_for": "agent_done", "silence_ms": 1000},
        {"say": "where"},
        {"wait_for": "agent_done", "silence_ms": 1000},
    ]
    short = tmp_path / "short.yaml"
    short.write_text(yaml.safe_dump(script))
    found = figures("latency", "--turns", "1", "--scenario", str(short))
    assert (found["calls"], found["lines"], found["broken"]["missed"]) == (1, 1, 0)
    server, ear = found["parts_ms"]["total"], found["at_the_ear_ms"]["all"]
    assert server["count"] >= 1
    assert ear["count"] == 1
    assert ear["p50"] > found["parts_ms"]["endpoint_wait"]["p50"] / 2
    assert found["protocol_breaches"] == []


def test_memory_is_read_with_live_calls(figures):
    found = figures("memory", "--calls", "1")
    assert set(found["resident_mb"]) == {"at rest", "live 1", "after 1", "live 2", "after 2"}
    assert all(megabytes > 100 for megabytes in found["resident_mb"].values())
    assert found["peak_mb"] >= max(found["resident_mb"].values()) - 1
