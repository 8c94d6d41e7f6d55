"""Commands run in this process, in an empty folder, with nothing of ours in the environment."""

import logging
import os

import pytest
from typer.testing import CliRunner

from agent.cli.main import app


@pytest.fixture
def agent(monkeypatch, tmp_path):
    """Run `agent ARGUMENTS`; gives the result with `exit_code`, `stdout` and `stderr`."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("CALLAGENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    runner = CliRunner()

    def run(*arguments: object, **environment: str):
        return runner.invoke(app, [str(argument) for argument in arguments], env=environment)

    yield run
    root.handlers[:], root.level = before
