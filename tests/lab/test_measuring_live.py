"""`agent evaluate` against a real server with real models."""

import json

import pytest
from typer.testing import CliRunner

from agent.cli.main import app

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


def test_memory_is_read_with_live_calls(figures):
    found = figures("memory", "--calls", "1")
    assert set(found["resident_mb"]) == {"at rest", "live 1", "after 1", "live 2", "after 2"}
    assert all(megabytes > 100 for megabytes in found["resident_mb"].values())
    assert found["peak_mb"] >= max(found["resident_mb"].values()) - 1
