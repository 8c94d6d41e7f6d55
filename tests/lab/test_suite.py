"""Which scenarios a run is made of, where its calls go, and when it gives up."""

from contextlib import asynccontextmanager

import pytest

from agent.clock import RealClock
from agent.lab import suite
from agent.lab.outcome import CallOutcome
from agent.lab.scenario import Scenario, Script
from agent.lab.simulation import Job, SimulationEvent, Target
from agent.lab.steps import Step
from agent.lab.suite import SuiteFailed, batches, place, read_scenarios, scenario_files, target_of
from agent.yamlfile import FileError

HANGS_UP = "description: Hangs up.\nsteps: [{hang_up: true}]\n"


def scenario(name, protocol="twilio"):
    return Scenario(name, Script(description="x", protocol=protocol, steps=(Step(hang_up=True),)))


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """A folder of shipped scenarios: a, b and the suite `short`, which is b alone."""
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(HANGS_UP)
    (tmp_path / "short.txt").write_text("# the short one\n\nb.yaml  # quick\n")
    monkeypatch.setattr(suite, "SCENARIOS", tmp_path)
    return tmp_path


class TestFiles:
    def names(self, *words):
        return [path.stem for path in scenario_files(words)]

    def test_no_word_is_everything_shipped(self, shipped):
        assert self.names() == ["a", "b"]

    def test_a_suite_by_name_a_file_and_a_folder_each_once(self, shipped):
        assert self.names("short") == ["b"]
        assert self.names("short", str(shipped / "b.yaml"), str(shipped)) == ["b", "a"]

    def test_what_is_not_there_is_told_with_the_suites(self, shipped):
        with pytest.raises(FileError, match="long: there is no such file or folder; the suites are short"):
            scenario_files(["long"])

    def test_a_suite_that_lists_what_is_not_there(self, shipped):
        (shipped / "short.txt").write_text("a.yaml\nc.yaml\n")
        with pytest.raises(FileError, match=r"short\.txt:2: there is no scenario c\.yaml"):
            scenario_files(["short"])

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(FileError, match=r"has no \*\.yaml"):
            scenario_files([str(tmp_path)])

    def test_all_wrong_files_are_told_at_once(self, shipped):
        (shipped / "a.yaml").write_text("steps: []")
        (shipped / "c.yaml").write_text(HANGS_UP + "voise: x\n")
        with pytest.raises(FileError, match=r"(?s)a\.yaml:1: .*c\.yaml:3: "):
            read_scenarios(scenario_files([]))


class TestBatches:
    def test_a_round_has_a_batch_for_each_protocol(self):
        found = batches([scenario("a"), scenario("b", "plain"), scenario("c")], [], None, 2, 0)
        assert [(batch.round, batch.protocol, [job.scenario.name for job in batch.jobs]) for batch in found] == [
            (0, "twilio", ["a", "c"]),
            (0, "plain", ["b"]),
            (1, "twilio", ["a", "c"]),
            (1, "plain", ["b"]),
        ]

    def test_one_protocol_for_all(self):
        assert len(batches([scenario("a"), scenario("b", "plain")], [], "plain", 1, 0)) == 1

    def test_a_seed_does_not_depend_on_the_other_scenarios(self):
        a, b = scenario("a"), scenario("b")
        together, alone = batches([b, a], [], None, 2, 7), batches([a], [], None, 2, 7)
        assert [batch.jobs[1].seed for batch in together] == [batch.jobs[0].seed for batch in alone]
        assert alone[0].jobs[0].seed != alone[1].jobs[0].seed
        assert alone[0].jobs[0].seed != batches([a], [], None, 1, 8)[0].jobs[0].seed

    def test_recorded_people_call_in_the_first_round(self):
        found = batches([scenario("a")], [Job(scenario("people"), 5)], None, 2, 0)
        assert [[job.scenario.name for job in batch.jobs] for batch in found] == [["a", "people"], ["a"]]


@pytest.mark.parametrize(
    ("url", "address", "api"),
    [
        ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/gateways/twilio", "http://127.0.0.1:8080"),
        ("https://calls.example.com/", "wss://calls.example.com/gateways/twilio", "https://calls.example.com"),
        ("ws://127.0.0.1:9/own/path?x=1", "ws://127.0.0.1:9/own/path?x=1", "http://127.0.0.1:9"),
    ],
)
def test_an_address_is_completed(url, address, api):
    assert target_of(url, "twilio", "t") == Target(address, api, "t", "twilio")


def test_what_is_no_address():
    with pytest.raises(ValueError, match=r"--url is '127\.0\.0\.1:8080'"):
        target_of("127.0.0.1:8080", "twilio")


class TestPlacing:
    """Calls of a simulation that fails those whose scenario is called `bad`."""

    @pytest.fixture(autouse=True)
    def simulation(self, monkeypatch):
        async def simulate(jobs, target, clock, *, at_a_time, ramp_s, keep, on_event):
            for number, job in enumerate(jobs):
                on_event(SimulationEvent("began", number, job.scenario.name))
                error = "refused" if job.scenario.name.startswith("bad") else None
                yield CallOutcome(job.scenario.name, number, job.seed, 1.0, "hung_up", 1000, (), (), error=error)

        monkeypatch.setattr(suite, "simulate", simulate)

    async def placed(self, *names, repeat=1):
        opened, events, found = [], [], []

        @asynccontextmanager
        async def server(batch):
            opened.append((batch.round, batch.protocol))
            yield Target("ws://127.0.0.1:1")

        planned = batches([scenario(name) for name in names], [], None, repeat, 0)
        options = {"at_a_time": 1, "ramp_s": 0.0, "keep": None, "on_event": events.append}
        try:
            async for outcome in place(planned, server, RealClock(), **options):
                found.append(outcome)  # noqa: PERF401  what came before an error counts
        except SuiteFailed as error:
            found.append(str(error))
        return found, opened, events

    async def test_calls_are_numbered_through_the_rounds_each_with_a_server(self):
        found, opened, events = await self.placed("a", "b", repeat=2)
        assert [outcome.number for outcome in found] == [0, 1, 2, 3]
        assert [event.number for event in events] == [0, 1, 2, 3]
        assert opened == [(0, "twilio"), (1, "twilio")]

    async def test_a_server_that_takes_no_call_is_given_up(self):
        found, _, _ = await self.placed("bad1", "bad2", "bad3", "bad4")
        assert found[3:] == ["3 calls in a row could not be carried through: refused"]

    async def test_a_server_that_took_one_call_is_not(self):
        found, _, _ = await self.placed("a", "bad1", "bad2", "bad3", "bad4")
        assert len(found) == 5
