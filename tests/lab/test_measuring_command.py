"""`agent evaluate`: what it prints, writes and refuses."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import evaluate
from agent.cli.main import app
from agent.lab.line import LineError
from agent.lab.measuring import recognizing
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Report, Table
from audio.wav import write_wav
from models.contracts import Recognition

REPORT = Report("start", "agent evaluate start", (Table("Starts", ("kind", "ms"), (("cold", "1"),)),), {"cold": 1})


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command line, with temporary folders below `tmp_path`/temporary."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def invoke(*words):
        monkeypatch.setattr("sys.argv", ["agent", *words])
        return CliRunner().invoke(app, list(words))

    return invoke


@pytest.fixture
def measured(monkeypatch):
    """Let a measurement of a start give or raise what is set, and keep the folder it was given."""
    given = {}

    async def measure(folder, clock, config, runs, command, progress):
        progress(1, 2, "half")
        given.update(folder=folder, command=command, runs=runs)
        (folder / "server.log").write_text("words")
        if isinstance(given["outcome"], Exception):
            raise given["outcome"]
        return given["outcome"]

    monkeypatch.setattr(evaluate, "measure_start", measure)
    return given


def test_the_figures_are_written_and_the_temporary_folder_goes(run, measured, tmp_path):
    measured["outcome"] = REPORT
    result = run("evaluate", "start", "--runs", "2", "--json", str(tmp_path / "out.json"))
    assert result.exit_code == 0
    assert "Starts" in result.stdout
    assert json.loads((tmp_path / "out.json").read_text())["figures"] == {"cold": 1}
    assert not measured["folder"].exists()
    assert (measured["runs"], measured["command"]) == (2, "agent evaluate start --runs 2")


def test_markdown_is_printed_alone(run, measured):
    measured["outcome"] = REPORT
    assert run("evaluate", "start", "--markdown").stdout == REPORT.markdown() + "\n"


@pytest.mark.parametrize(
    "error", [MeasureFailed("no such thing"), ExceptionGroup("calls", [LineError("no such thing")])]
)
def test_a_failure_is_told_and_what_there_is_is_kept(run, measured, error):
    measured["outcome"] = error
    result = run("evaluate", "start")
    assert result.exit_code == 2
    assert "no such thing" in result.stderr
    assert (measured["folder"] / "server.log").exists()


def test_a_bug_is_not_called_a_failure(run, measured):
    measured["outcome"] = ExceptionGroup("calls", [LineError("x"), ZeroDivisionError()])
    result = run("evaluate", "start")
    assert isinstance(result.exception, ExceptionGroup)


class Parrot:
    """Hears the same words whatever is said."""

    def recognize(self, samples, hints):
        return Recognition("Do you ship to Canada?")


def test_the_recognizer_is_reported_for_each_set_line_and_context(run, monkeypatch, tmp_path):
    monkeypatch.setattr(recognizing, "recognizer_of", lambda settings, context_s: Parrot())
    data = tmp_path / "people"
    data.mkdir()
    write_wav(data / "a.wav", np.zeros(8000, dtype=np.int16), 8000)
    (data / "metadata.tsv").write_text("file\ttext\na.wav\tDo you ship the Canada\n")
    out = tmp_path / "out.json"
    words = (
        "evaluate",
        "recognizer",
        "--data",
        str(data),
        "--context-s",
        "12",
        "--context-s",
        "30",
        "--json",
        str(out),
    )
    result = run(*words, "--condition", "clean", "--condition", "noise-20")
    assert result.exit_code == 0, result.stderr
    document = json.loads(out.read_text())
    assert document["command"].startswith("agent evaluate recognizer --data people --context-s 12 --context-s 30")
    found = document["details"]["results"]
    assert [(one["context_s"], one["line"]) for one in found] == [
        (12, "clean"),
        (12, "noise-20"),
        (30, "clean"),
        (30, "noise-20"),
    ]
    assert {(one["words"], one["substitutions"], one["wer_percent"]) for one in found} == {(5, 1, 20.0)}
    assert {one["cer_percent"] for one in found} == {11.1111}
    assert document["figures"]["wer_clean_12s"]["value"] == 20.0
    assert "people, clean, 12 s | Do you ship the Canada | Do you ship to Canada?" in result.stdout
    assert found[0]["wrong"] == [["Do you ship the Canada", "Do you ship to Canada?"]]


def test_the_recognizer_hears_the_demo_lines_where_no_folder_is_given(run, monkeypatch):
    monkeypatch.setattr(recognizing, "recognizer_of", lambda settings, context_s: Parrot())
    result = run("evaluate", "recognizer", "--condition", "clean")
    assert result.exit_code == 0, result.stderr
    assert "demo-caller (" in result.stdout
    assert "latency (" in result.stdout


def test_a_folder_without_words_is_refused(run, tmp_path):
    result = run("evaluate", "recognizer", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "holds no utterances" in result.stderr


def test_a_line_that_there_is_not_is_refused(run):
    result = run("evaluate", "recognizer", "--condition", "rain-3")
    assert result.exit_code == 2
    assert "--condition is 'rain-3'" in result.stderr
