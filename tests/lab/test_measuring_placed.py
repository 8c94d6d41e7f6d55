"""What came of a call: answers belong to their lines, and broken replies are told apart."""

import pytest

from agent.lab.ear import Span
from agent.lab.measuring.latency import digest
from agent.lab.measuring.placed import Line, PlacedCall, answers_of, breaks_of, errors_as_heard, lines_of
from agent.lab.outcome import Utterance
from agent.lab.player import Played

SAID = {
    "a": Utterance("say a", "turn", "Where is it?", 1000, 2000),
    "b": Utterance("say b", "turn", "Number four.", 8000, 9000),
}


def agent(started, ended, interrupted=False, **latency):
    return {
        "speaker": "agent",
        "started_ms": started,
        "ended_ms": ended,
        "interrupted": interrupted,
        "latency": latency,
        "text": "Well.",
    }


def caller(started, text):
    return {"speaker": "caller", "started_ms": started, "ended_ms": started + 900, "interrupted": False, "text": text}


def call(turns=(), spans=(), counters=None, pauses=None):
    """Line a is said at 1-2 s, line b at 8-9 s."""
    played = Played(list(SAID.values()), SAID, ended="hung_up")
    record = {"call": {"counters": counters or {}}, "turns": list(turns)}
    return PlacedCall(played, [Span(*span) for span in spans], record, pauses or {})


def test_an_answer_is_timed_from_the_end_of_its_line():
    found = lines_of(call(spans=[(0, 900), (2640, 5000), (9500, 9900)], pauses={"b": 300}))
    assert found == [Line("a", 0, 640, False), Line("b", 300, 500, False)]


def test_what_comes_after_the_next_line_is_no_answer():
    assert [line.answered_ms for line in lines_of(call(spans=[(9500, 9900)]))] == [None, 500]


def test_the_agents_voice_inside_a_line_is_a_cut_off():
    assert lines_of(call(spans=[(1600, 1900), (2700, 3000), (9500, 9900)]))[0] == Line("a", 0, 700, True)


def test_a_reply_begun_in_a_pause_and_broken_off_is_a_restart():
    assert breaks_of(call([agent(1500, 1900, True)]))["restarts"] == 1


def test_replies_taken_back_unheard_are_restarts_too():
    assert breaks_of(call(counters={"retract": 2}))["restarts"] == 2


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (agent(2600, 5000, True), "false_interruptions"),
        (agent(2600, 8300, True), "stalls"),
        (agent(9600, 12000, True), "false_interruptions"),
    ],
)
def test_other_broken_replies(turn, kind):
    found = breaks_of(call([turn]))
    assert {name for name, count in found.items() if count} == {kind}


def test_whole_replies_and_callers_turns_are_not_broken():
    found = breaks_of(call([agent(2600, 5000), caller(1000, "x")], counters={"resume": 1}))
    assert found == {"restarts": 0, "false_interruptions": 0, "stalls": 0, "hiccups": 1}


def test_only_answers_to_the_caller_are_timed():
    turns = [agent(0, 900), agent(2600, 5000, endpoint_wait=400, total=640)]
    assert list(answers_of(call(turns))) == [{"endpoint_wait": 400, "total": 640}]


def test_what_was_heard_is_compared_over_the_whole_call():
    heard = call([caller(8000, "number for"), caller(1000, "Where is it?")])
    errors = errors_as_heard(heard)
    assert (errors.errors, errors.words) == (1, 5)


def test_the_report_has_parts_ear_and_what_went_wrong():
    turns = [agent(2600, 5000, endpoint_wait=400, total=640), agent(9500, 9900, True, endpoint_wait=350, total=500)]
    one = call([*turns, caller(1000, "where is it")], [(2640, 5000)], {"retract": 1}, {"b": 300})
    report = digest([one], 1, 7, "agent evaluate latency")
    figures = report.figures
    assert figures["parts_ms"]["total"] == {"count": 2, "p50": 570.0, "p95": 633.0, "least": 500, "most": 640}
    assert figures["parts_ms"]["recognition"] == {"count": 0}
    assert figures["at_the_ear_ms"]["all"]["count"] == 1
    assert figures["at_the_ear_ms"]["with a pause"] == {"count": 0}
    broken = figures["broken"]
    assert (broken["restarts"], broken["missed"], broken["false_interruptions"]) == (1, 1, 1)
    assert (figures["lines"], figures["lines_with_a_pause"], figures["words"]) == (2, 1, 5)
    answers, wrong = report.tables
    assert ("server: total", "2", "570 ms", "633 ms", "640 ms") in answers.rows
    assert ("server: recognition", "0", "-", "-", "-") in answers.rows
    assert ("lines without an answer", "1", "2") in wrong.rows
