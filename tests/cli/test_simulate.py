"""`agent simulate`: what it prints, writes and refuses, and its exit status; the calls themselves are fakes."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from agent.cli import simulate as command
from agent.lab import suite
from agent.lab.authoring.scaffold import new_domain
from agent.lab.ear import Span
from agent.lab.expectations import Checked
from agent.lab.line import Unreachable
from agent.lab.outcome import CallOutcome, Utterance

URL = ("--url", "ws://127.0.0.1:1")


@pytest.fixture
def scenarios(tmp_path):
    """A folder with scenarios `a` to `e`."""
    folder = tmp_path / "scenarios"
    folder.mkdir()
    for name in "abcde":
        (folder / f"{name}.yaml").write_text("description: Hangs up.\ntags: [t]\nsteps: [{hang_up: true}]\n")
    return folder


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Fakes every call; what is set by scenario name changes its outcome, or is raised instead of it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    changes = {}

    async def simulate(jobs, target, clock, *, at_a_time, ramp_s, keep, on_event):
        changes["target"] = target
        for number, job in enumerate(jobs):
            change = changes.get(job.scenario.name, {})
            if isinstance(change, BaseException):
                raise change
            said = Utterance("say x", "turn", "Where is it?", 1000, 2000)
            plain = {"utterances": (said,), "agent": (Span(2600, 4000),), "tags": job.scenario.script.tags}
            ended = {"ended": "hung_up", "duration_ms": 5000}
            yield CallOutcome(job.scenario.name, number, job.seed, 0.0, **(ended | plain | change))

    monkeypatch.setattr(suite, "simulate", simulate)
    return changes


def test_calls_as_expected(agent, scenarios, calls, tmp_path):
    result = agent("simulate", scenarios, *URL, "--json", "out.json", "--html", "out.html")
    assert result.exit_code == 0, result.output
    assert "5 calls, 5 turns" in result.stdout
    found = json.loads((tmp_path / "out.json").read_text())
    assert (len(found["calls"]), len(found["turns"]), found["stopped"]) == (5, 5, None)
    assert found["settings"]["server"] == "127.0.0.1"
    assert "</html>" in (tmp_path / "out.html").read_text()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_task_that_failed(agent, scenarios, calls):
    calls["c"] = {"checked": (Checked("finds the order", False, "no such turn"),)}
    result = agent("simulate", scenarios, *URL)
    assert result.exit_code == 1
    assert "finds the order: no such turn" in result.stdout
    assert "calls that did not go as expected: 1 of 5" in result.stderr
    assert agent("simulate", scenarios, *URL, "--fail-on", "none").exit_code == 0


def test_a_limit_that_was_passed(agent, scenarios, calls):
    calls["c"] = {"agent": (Span(1500, 4000),)}
    assert agent("simulate", scenarios, *URL).exit_code == 0
    assert agent("simulate", scenarios, *URL, "--fail-on", "cut_offs:20%").exit_code == 0
    assert agent("simulate", scenarios, *URL, "--fail-on", "cut_offs").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.yaml",), "nowhere.yaml: there is no such file or folder"),
        (("short", "--url", "127.0.0.1:80"), "give an address such as"),
        (("short", "--protocol", "sip"), "give twilio or plain"),
        (("short", "--fail-on", "cutoffs"), "--fail-on has 'cutoffs'"),
        (("short", "--against", "old.json"), "old.json: cannot be read as JSON"),
        (("--speech", "nowhere", *URL), "nowhere is no folder"),
    ],
)
def test_what_cannot_be_begun(agent, calls, tmp_path, arguments, words):
    result = agent("simulate", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_wrong_scenario_is_told_with_file_and_line(agent, scenarios, calls):
    (scenarios / "b.yaml").write_text("description: x\nsteps:\n  - hang_up: true\n  - sing: loudly\n")
    result = agent("simulate", scenarios, *URL)
    assert result.exit_code == 2
    assert "b.yaml:4: " in result.stderr


def test_a_configuration_needs_a_server_of_ones_own(agent, scenarios, calls, tmp_path):
    (tmp_path / "own.yaml").write_text("{}")
    result = agent("simulate", scenarios, *URL, "--config", "own.yaml")
    assert result.exit_code == 2
    assert "leave out --url" in result.stderr


def test_a_server_that_is_not_there(agent, scenarios, calls):
    calls["a"] = Unreachable("ws://127.0.0.1:1 cannot be reached: refused; is the server running there?")
    result = agent("simulate", scenarios, *URL)
    assert result.exit_code == 2
    assert "is the server running there?" in result.stderr


def test_a_server_that_never_answers(agent, scenarios, calls):
    for name in "abcde":
        calls[name] = {"error": "the server sent no audio within 20 s", "agent": ()}
    result = agent("simulate", scenarios, *URL)
    assert result.exit_code == 2
    assert "3 calls in a row could not be carried through" in result.stderr
    assert "not complete: 3 of 5 calls" in result.stdout


def test_one_call_to_a_server_that_never_answers(agent, scenarios, calls):
    calls["a"] = {"error": "the server sent no audio within 20 s", "agent": ()}
    assert agent("simulate", scenarios / "a.yaml", *URL).exit_code == 2


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), asyncio.CancelledError(), Unreachable("gone")])
def test_what_was_done_before_the_end_is_reported(agent, scenarios, calls, tmp_path, stopped):
    calls["c"] = stopped
    result = agent("simulate", scenarios, *URL, "--html", "out.html")
    assert result.exit_code == 2
    assert "not complete: 2 of 5 calls" in result.stdout
    (kept,) = (tmp_path / "temporary").glob("*/report.json")
    assert "What was done is in" in result.stderr
    assert len(json.loads(kept.read_text())["calls"]) == 2
    assert "not complete" in (tmp_path / "out.html").read_text()


def test_a_bug_is_not_called_a_failure(agent, scenarios, calls):
    calls["c"] = ZeroDivisionError()
    assert isinstance(agent("simulate", scenarios, *URL).exception, ZeroDivisionError)


def test_against_an_earlier_run(agent, scenarios, calls, tmp_path):
    assert agent("simulate", scenarios, *URL, "--repeat", 4, "--json", "old.json").exit_code == 0
    for name in "abcde":
        calls[name] = {"agent": (Span(3000, 4000),)}
    result = agent("simulate", scenarios, *URL, "--repeat", 4, "--against", "old.json", "--json", "new.json")
    assert result.exit_code == 0
    changes = json.loads((tmp_path / "new.json").read_text())["against"]["changes"]
    found = next(change for change in changes if change["name"] == "first_ms.p50")
    assert (found["before"], found["after"], found["verdict"]) == (600, 1000, "worse")
    assert "Against old.json" in result.stdout


def test_markdown_names_the_command_without_secrets_and_places(agent, scenarios, calls, monkeypatch):
    words = ["simulate", str(scenarios), *URL, "--token", "sesame", "--json", "out.json", "--markdown"]
    monkeypatch.setattr("sys.argv", ["agent", *words])
    result = agent(*words)
    assert result.stdout.startswith("`agent simulate scenarios --url ws://127.0.0.1:1`")
    assert calls["target"].token == "sesame"


def test_each_round_has_a_server_of_its_own(agent, scenarios, calls, monkeypatch):
    opened = []

    @asynccontextmanager
    async def measured_server(folder, clock, config, calls):
        opened.append(folder.name)
        yield type("Server", (), {"url": "http://127.0.0.1:1"})

    monkeypatch.setattr(command, "measured_server", measured_server)
    assert agent("simulate", scenarios / "a.yaml", "--repeat", 2).exit_code == 0
    assert opened == ["server-0-twilio", "server-1-twilio"]
    assert calls["target"].url == "ws://127.0.0.1:1/gateways/twilio"


def test_conversations_of_a_domain_are_judged_by_what_was_done(agent, calls, monkeypatch, tmp_path):
    domain = new_domain("kiosk", tmp_path)
    (domain / "conversations" / "drops.yaml").write_text("description: x\nturns: [{say: hi}, {drop: true}]\n")
    opened = []

    @asynccontextmanager
    async def measured_server(folder, clock, config, calls, domain, began):
        opened.append((folder.name, domain, began.isoformat()))
        yield type("Server", (), {"url": "http://127.0.0.1:1"})

    monkeypatch.setattr(command, "measured_server", measured_server)
    done = {"call": {}, "turns": [], "actions": [], "handoffs": [{"rule": "complaint"}], "events": []}
    calls["complains"] = {"record": done}
    calls["books_a_visit"] = {"record": done, "ended": "agent:hangup"}
    result = agent("simulate", "--domain", "kiosk", "--conversations", "--json", "out.json")
    assert result.exit_code == 1
    assert "drops is played by text only: the line drops" in result.stderr
    day = "2026-05-04T15:00:00+00:00"
    assert opened == [("server-0-twilio", "kiosk", day), ("server-1-twilio", "kiosk", day)]
    found = {call["scenario"]: call for call in json.loads((tmp_path / "out.json").read_text())["calls"]}
    assert found["complains"]["succeeded"]
    assert not found["books_a_visit"]["succeeded"]
    reasons = " ".join(found["books_a_visit"]["reasons"])
    for reason in (
        "action book_visit: with success ran none",
        "handed off by no rule: complaint",
        "slot day 2026-05-05",
    ):
        assert reason in reasons


def test_conversations_need_a_server_of_their_own(agent, calls):
    assert "leave out --url" in agent("simulate", *URL, "--conversations").stderr
    assert "no conversation matches" in agent("simulate", "--conversations", "--only", "nothing").stderr
