"""Reports on runs: what is in the document, the tables and the page, and how two runs are compared."""

import json
import random
import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from rich.console import Console
from scipy.stats import fisher_exact

from agent.lab.ear import Span
from agent.lab.expectations import Checked
from agent.lab.outcome import CallOutcome, Utterance
from agent.lab.reporting.compare import compare, exact_chance
from agent.lab.reporting.document import Run, read_report, stored
from agent.lab.reporting.page import page
from agent.lab.reporting.plots import histogram, shares_by_time
from agent.lab.reporting.terminal import markdown, show
from agent.lab.scores import score
from agent.lab.summary import spread, summarize
from agent.yamlfile import FileError

AT = datetime(2026, 11, 22, tzinfo=UTC)
MACHINE = {"cpu": "Some CPU", "cores": 2, "memory_gb": 8.0, "python": "3.11.7"}


def outcome(number=0, latencies=(600.0, 800.0), cut_off=False, **more):
    """A call whose turns of one second are answered after `latencies`; `cut_off` speaks into the first."""
    utterances, spans = [], [Span(0, 400)]
    for n, latency in enumerate(latencies):
        start = 1000 + n * 10_000
        utterances.append(Utterance(f"say {n}", "turn", f"Question {n}?", start, start + 1000))
        if cut_off and n == 0:
            spans.append(Span(start + 500, start + 700))
        spans.append(Span(start + 1000 + latency, start + 4000))
    return CallOutcome(
        more.pop("scenario", "plain"),
        number,
        number,
        0.0,
        "hung_up",
        1000.0 + len(latencies) * 10_000,
        tuple(utterances),
        tuple(spans),
        **more,
    )


def run(*outcomes, stopped=None, planned=None, **settings):
    calls = [score(one) for one in outcomes]
    return Run("agent simulate", settings, calls, planned or len(calls), stopped, MACHINE, {"callagent": "0.1.0"}, AT)


def report(count, latency, cut_offs=0, spread_ms=100.0, **settings):
    """The stored report of `count` calls of two turns each, latencies around `latency`."""
    chance = random.Random(latency)
    drawn = [[latency + chance.uniform(-spread_ms, spread_ms) for _ in range(2)] for _ in range(count)]
    return stored(run(*(outcome(n, pair, n < cut_offs) for n, pair in enumerate(drawn)), **settings).document())


class TestSummary:
    def test_percentiles_are_interpolated(self):
        found = spread([100.0, 200.0, 300.0, 400.0, 500.0])
        assert (found.count, found.p50, found.p90, found.most) == (5, 300, 460, 500)
        assert spread([]) is None

    def test_turns_of_all_calls_are_pooled(self):
        found = summarize([score(outcome(0, (500.0,))), score(outcome(1, (600.0, 700.0), cut_off=True))])
        assert (found.turns, found.spreads["first_ms"].p50) == (3, 600)
        assert (found.shares["cut_offs"].count, found.shares["cut_offs"].of) == (1, 3)
        assert (found.shares["restarts"].count, found.shares["restarts_heard"].count) == (1, 1)

    def test_out_of_nothing_there_is_no_percentage(self):
        found = summarize([score(outcome())]).shares["false_interruptions"]
        assert (found.percent, str(found)) == (None, "-")

    def test_false_interruptions_are_counted_out_of_what_provokes_them(self):
        reply = {
            "speaker": "agent",
            "started_ms": 0,
            "ended_ms": 5000,
            "interrupted": True,
            "text": "A b.",
            "heard": "A",
        }
        record = {"call": {"counters": {}}, "turns": [reply], "events": []}
        more = {"record": record, "scenario": "echo"}
        cough = Utterance("noise cough", "noise", "", 4700, 4900)
        calls = [
            CallOutcome("cough", 0, 0, 0.0, "hung_up", 20_000, (cough,), (Span(20, 5000),), record=record),
            outcome(1, (600.0,), tags=("echo",), **more),
            outcome(2, (600.0,), record=record),
        ]
        found = summarize([score(call) for call in calls]).shares
        assert (found["false_interruptions"].count, found["false_interruptions"].of) == (2, 2)
        assert (found["echo_interruptions"].count, found["echo_interruptions"].of) == (1, 1)
        assert (found["unprovoked_interruptions"].count, found["unprovoked_interruptions"].of) == (1, 2)


class TestDocument:
    def test_it_is_json_and_can_be_read_back(self, tmp_path):
        document = run(outcome(), seed=3).document()
        (tmp_path / "old.json").write_text(json.dumps(document))
        found = read_report(tmp_path / "old.json")
        assert found.settings == {"seed": 3}
        assert [turn.first_ms for turn in found.turns] == [600, 800]
        assert found.summary.shares["tasks"].of == 1

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"version": 2}, "old.json: version: is 2, this program compares version 1"),
            ({"measure": "latency"}, "old.json: measure: Input should be 'simulate'"),
            ({"turns": [{"call": 0}]}, "old.json: turns.0.first_ms: Field required"),
            ({"summary": {"shares": {"tasks": {"count": "x", "of": 1}}}}, "summary.shares.tasks.count: "),
        ],
    )
    def test_another_shape_is_refused_with_the_field(self, tmp_path, change, words):
        (tmp_path / "old.json").write_text(json.dumps(run(outcome()).document() | change))
        with pytest.raises(FileError, match=re.escape(words)):
            read_report(tmp_path / "old.json")

    @pytest.mark.parametrize("text", ["no json", "[1]"])
    def test_what_is_no_report_is_refused(self, tmp_path, text):
        (tmp_path / "old.json").write_text(text)
        with pytest.raises(FileError, match=r"old\.json: "):
            read_report(tmp_path / "old.json")

    def test_a_missing_report_is_refused(self, tmp_path):
        with pytest.raises(FileError, match="cannot be read"):
            read_report(tmp_path / "old.json")


class TestComparison:
    def verdict(self, before, after, name):
        return next(change for change in compare(before, after, "old.json").changes if change.name == name)

    @pytest.mark.parametrize(
        ("after", "verdict"), [(400.0, "better"), (900.0, "worse"), (610.0, "within noise"), (600.0, "within noise")]
    )
    def test_times(self, after, verdict):
        assert self.verdict(report(30, 600.0), report(30, after), "first_ms.p50").verdict == verdict

    def test_a_change_that_scatter_may_have_made_is_noise(self):
        before, after = report(10, 600.0, spread_ms=500.0), report(10, 720.0, spread_ms=500.0)
        found = self.verdict(before, after, "first_ms.p50")
        assert abs(found.change) > 50
        assert found.verdict == "within noise"

    def test_few_values_are_not_judged(self):
        assert self.verdict(report(3, 600.0), report(3, 2000.0), "first_ms.p50").verdict == "too few"
        assert self.verdict(report(6, 600.0), report(6, 2000.0), "first_ms.p95").verdict == "too few"

    def test_counts(self):
        found = self.verdict(report(40, 600.0), report(40, 600.0, cut_offs=12), "cut_offs")
        assert (found.verdict, found.counts) == ("worse", (0, 80, 12, 80))
        assert self.verdict(report(40, 600.0, 12), report(40, 600.0), "cut_offs").verdict == "better"
        assert self.verdict(report(40, 600.0), report(40, 600.0, 2), "cut_offs").verdict == "within noise"

    def test_more_calls_as_expected_are_better(self):
        failed = [outcome(n, error="refused") for n in range(20)]
        before, after = stored(run(*failed).document()), report(20, 600.0)
        assert self.verdict(before, after, "tasks").verdict == "better"

    @pytest.mark.parametrize(("wrong", "verdict"), [(3, "worse"), (1, "within noise")])
    def test_word_errors_are_drawn_by_the_call(self, wrong, verdict):
        """Half of the calls have `wrong` of their words wrong instead of one."""
        before, after = ([self.spoken(n, 1 + (more - 1) * (n % 2)) for n in range(12)] for more in (1, wrong))
        found = self.verdict(stored(run(*before).document()), stored(run(*after).document()), "word_errors")
        assert found.verdict == verdict

    def test_one_call_in_which_nothing_was_understood_is_noise(self):
        before, after = ([self.spoken(n, bad if n == 0 else 0) for n in range(12)] for bad in (0, 5))
        found = self.verdict(stored(run(*before).document()), stored(run(*after).document()), "word_errors")
        assert (found.after, found.verdict) == (pytest.approx(100 * 5 / 60), "within noise")

    def spoken(self, number, wrong):
        words = "one two three four five".split()
        heard = " ".join(words[: 5 - wrong] + ["x"] * wrong)
        turn = {"speaker": "caller", "started_ms": 1000, "ended_ms": 2500, "interrupted": False, "text": heard}
        said = Utterance("say", "turn", " ".join(words), 1000, 2000)
        record = {"call": {"counters": {}}, "turns": [turn], "events": []}
        return CallOutcome("plain", number, 0, 0.0, "hung_up", 3000, (said,), (), record=record)

    def test_what_was_not_measured_is_not_judged(self):
        assert self.verdict(report(9, 600.0), report(9, 600.0), "missed_interruptions").verdict == "not measured"

    def test_other_settings_are_told(self):
        found = compare(report(5, 600.0, seed=1), report(6, 600.0, seed=2), "old.json").differences
        assert found == ("scenarios: none only before, plain (1) only now", "setting seed: 1 before, 2 now")

    @pytest.mark.parametrize("table", [(0, 10, 0, 10), (3, 40, 9, 35), (12, 12, 1, 7), (40, 2000, 70, 1900)])
    def test_the_exact_test(self, table):
        old, old_of, new, new_of = table
        expected = fisher_exact([[old, old_of - old], [new, new_of - new]]).pvalue
        assert exact_chance(*table) == pytest.approx(expected, rel=1e-6)

    def test_it_goes_into_json(self):
        found = compare(report(9, 600.0), report(9, 600.0), "old.json").document()
        assert json.loads(json.dumps(found))["changes"][0]["name"] == "first_ms.p50"


EVIL = '<script>alert("x")</script> & "quoted"'


def evil():
    spoken = Utterance(EVIL, "turn", EVIL, 1000, 2000, pauses=((1300, 1600),))
    heard = {"speaker": "agent", "started_ms": 2580, "ended_ms": 4000, "interrupted": True, "text": EVIL, "heard": EVIL}
    events = [{"kind": "state", "at_ms": 0, "data": {"phase": EVIL}}, {"kind": "pause", "at_ms": 3900, "data": {}}]
    record = {"call": {"counters": {}}, "turns": [heard], "events": events}
    return CallOutcome(
        EVIL,
        0,
        0,
        0.0,
        EVIL,
        9000,
        (spoken,),
        (Span(2600, 4000),),
        checked=(Checked(EVIL, False, EVIL),),
        missed=(EVIL,),
        wrongs=(EVIL,),
        error=EVIL,
        record=record,
        tags=(EVIL,),
    )


class TestPage:
    def parsed(self, text):
        """The page as XML: what a browser forgives is an error here."""
        text = re.sub(r"<(meta)([^>]*)>", r"<\1\2/>", text.removeprefix("<!DOCTYPE html>"))
        return ElementTree.fromstring(re.sub(r"<details open>", '<details open="open">', text))

    def test_it_is_well_formed_and_holds_the_figures(self):
        words = "".join(self.parsed(page(run(outcome(tags=("digits",))))).itertext())
        assert "first latency, p50 / p95 of 2" in words
        assert "700 / 790 ms" in words
        assert "digits" in words

    def test_words_of_others_are_escaped(self):
        text = page(run(evil(), stopped=EVIL, planned=3))
        root = self.parsed(text)
        assert root.find(".//script") is None
        assert "<script" not in text
        assert any(EVIL in (title.text or "") for title in root.iter("title"))
        assert "not complete: 1 of 3 calls" in text

    def test_it_needs_nothing_else(self):
        text = page(run(outcome()))
        assert not re.search(r"https?:|url\(|@import|<link|<img|src=", text)

    def test_a_run_without_calls_is_told_too(self):
        assert "not complete: 0 of 3 calls; unreachable" in page(run(stopped="unreachable", planned=3))

    def test_failed_calls_are_open(self):
        text = page(run(outcome(0), outcome(1, error="refused: busy")))
        assert (text.count("<details open>"), text.count("<details")) == (1, 2)
        assert "refused: busy" in text

    def test_pauses_and_faults_are_in_the_timeline(self):
        text = page(run(outcome(cut_off=True), evil()))
        assert 'class="pause"' in text
        assert ">cut off</text>" in text

    def test_a_comparison_is_shown(self):
        after = run(*(outcome(n, (900.0, 950.0)) for n in range(10)))
        text = page(after, compare(report(10, 600.0), stored(after.document()), "old.json"))
        assert '<td class="worse">worse</td>' in text


class TestPlots:
    def test_every_value_is_in_a_bar(self):
        text = histogram({"first": [10.0, 500.0, 510.0, 90_000.0], "settled": []})
        assert sum(int(count) for count in re.findall(r"first: (\d+) from", text)) == 4

    def test_nothing_measured_nothing_drawn(self):
        assert histogram({"first": []}) == ""
        assert shares_by_time({"first": []}) == ""

    def test_the_line_reaches_the_share_that_was_that_quick(self):
        assert "first: 4 values, 75% up to" in shares_by_time({"first": [10.0, 500.0, 510.0, 90_000.0]})


class TestTerminal:
    def test_tables_and_failures_are_printed(self):
        console = Console(width=200, record=True)
        show(
            console, run(outcome(0, tags=("digits",)), outcome(1, error="refused [busy]"), stopped="Ctrl-C", planned=5)
        )
        text = console.export_text()
        assert "settled latency" in text
        assert "failed: plain (call 1, seed 1): refused [busy]" in text
        assert "not complete: 2 of 5 calls; Ctrl-C" in text

    def test_markdown_has_command_tables_and_changes(self):
        after = run(*(outcome(n, (900.0, 950.0)) for n in range(10)))
        text = markdown(after, compare(report(10, 600.0), stored(after.document()), "old.json"))
        assert text.startswith("`agent simulate`, 2026-11-22, 2 cores of Some CPU")
        assert re.search(r"\| first latency, p50 \| \d+ ms \| 925 ms \| \+\d+ ms \(.*\) \| worse \|", text)
