"""What is seen of a call: notes once each, in-band or from its record."""

import pytest

from agent.gateways.base import ShowState, ShowTranscript, ShowTurn
from agent.gateways.plain import PlainProtocol
from agent.lab.line import Told
from agent.lab.plain_client import PlainClient
from agent.lab.watching import Watch


def notes(watch):
    return [(note.at_ms, note.what, note.value) for note in watch.seen]


def test_messages_of_the_server_are_noted():
    client, server, watch = PlainClient(8000), PlainProtocol("s1"), Watch()
    for message in client.opening():
        server.receive(message)
    shown = {"number": 1, "text": "Which one?", "intent": "order_status", "slots": {"order_number": "42719"}}
    commands = [
        ShowState("LISTENING"),
        ShowTranscript("caller", "where", False, 1),
        ShowTranscript("caller", "Where is it?", True, 1),
        ShowTranscript("agent", "Which one?", False, 1),
        ShowTurn(shown),
        ShowTranscript("agent", "Which one?", True, 1),
    ]
    for at, command in enumerate(commands):
        for message in server.send(command):
            for event in client.receive(message):
                assert isinstance(event, Told)
                watch.told(event.message, at * 10.0)
    assert notes(watch) == [
        (0.0, "state", "listening"),
        (20.0, "caller_said", "Where is it?"),
        (30.0, "agent_said", "Which one?"),
        (40.0, "intent", "order_status"),
    ]
    assert watch.state == "listening"
    caller, agent = watch.observed()["turns"]
    assert (caller["intent"], caller["slots"]) == ("order_status", {"order_number": "42719"})
    assert (agent["heard"], agent["started_ms"], agent["ended_ms"]) == ("Which one?", 30.0, 50.0)


TURN = {"number": 1, "speaker": "caller", "text": "Where?", "intent": "order_status", "started_ms": 90, "ended_ms": 100}


def test_a_record_read_again_is_noted_once_and_what_changed_again():
    watch = Watch()
    state = {"kind": "state", "sequence": 3, "at_ms": 40.0, "data": {"phase": "THINKING"}}
    record = {"turns": [TURN], "events": [state, {"kind": "fault", "sequence": 4}]}
    watch.record(record, 500.0)
    watch.record(record, 800.0)
    watch.record({"turns": [TURN | {"text": "Where is it?"}], "events": []}, 900.0)
    assert notes(watch) == [
        (100, "caller_said", "Where?"),
        (100, "intent", "order_status"),
        (40.0, "state", "thinking"),
        (100, "caller_said", "Where is it?"),
    ]


def test_a_turn_that_was_taken_back_is_no_news():
    watch = Watch()
    watch.record({"turns": [TURN | {"text": ""}], "events": []}, 500.0)
    assert watch.seen == []


def test_only_what_came_since_counts():
    watch = Watch()
    watch.heard("Hello.", 100.0)
    watch.heard("Goodbye.", 900.0)
    watch.heard("", 950.0)
    assert watch.since("agent_said", 500.0) == ["Goodbye."]
    assert [turn["text"] for turn in watch.observed()["turns"]] == ["Hello.", "Goodbye."]


@pytest.mark.parametrize("message", [{}, {"type": "caption"}, {"type": "turn"}, {"type": "dance"}], ids=str)
def test_messages_that_say_nothing_are_no_notes(message):
    watch = Watch()
    watch.told(message, 0.0)
    assert watch.seen == []
