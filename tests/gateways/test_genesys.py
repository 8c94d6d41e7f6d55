from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from genesyshalf import SESSION, Genesys, kinds, media, opened, parts

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Dtmf,
    Event,
    Fault,
    GatewayProtocol,
    Hangup,
    Play,
    Refuse,
    ShowSuggestion,
    ShowTranscript,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.genesys import MAX_AUDIO, GenesysConnector, GenesysMonitor
from agent.lab.callers.audiohook import AudioHookCaller
from agent.lab.callers.catalogue import Who
from agent.lab.callers.genesys import ConnectorCaller, MonitorCaller
from agent.lab.line import Cleared, FromAgent, Heard, Left, Respond, Told, Wrong
from audio import g711

FRAME = np.zeros(160, dtype=np.int16)
PIECE = b"\xff" * 1600


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("genesys_connector_call", GenesysConnector),
        ("genesys_connector_dropped", GenesysConnector),
        ("genesys_monitor_call", GenesysMonitor),
        ("genesys_monitor_probe", GenesysMonitor),
    ],
)
def test_recorded_conversations(name: str, kind: Any, golden: Any) -> None:
    golden(name, kind(Opening("call")))


def test_our_audio_goes_as_it_is_in_messages_genesys_takes() -> None:
    genesys = opened(GenesysConnector)
    assert genesys.send(Play(PIECE)) == [PIECE]
    assert genesys.send(Play(b"")) == []
    sent = genesys.send(Play(bytes(2 * MAX_AUDIO + 5)))
    assert [len(piece) for piece in sent] == [MAX_AUDIO, MAX_AUDIO, 5]


def test_a_clear_is_a_barge_in() -> None:
    [message] = opened(GenesysConnector).send(Clear())
    assert (message["type"], message["parameters"]) == ("event", {"entities": [{"type": "barge_in", "data": {}}]})


def test_a_transfer_and_a_hangup_tell_the_flow_by_output_variables() -> None:
    context = {"handoff_id": "h-1", "summary": "s" * 1500}
    genesys = opened(GenesysConnector)
    [message] = genesys.send(Transfer("billing", context))
    variables = {"handoff_id": "h-1", "summary": "s" * 1000, "transfer_target": "billing", "outcome": "transfer"}
    assert message["type"] == "disconnect"
    assert message["parameters"] == {"reason": "completed", "info": "transfer", "outputVariables": variables}
    assert genesys.send(Play(PIECE)) == genesys.send(Hangup("late")) == []
    assert genesys.take(PIECE) == ()
    assert kinds(genesys.say("close", {"reason": "disconnect"})) == ["closed", CallEnded("disconnect")]

    [message] = opened(GenesysConnector).send(Hangup("goodbye", {"intent": "hours"}))
    variables = {"intent": "hours", "outcome": "hangup"}
    assert message["parameters"] == {"reason": "completed", "info": "goodbye", "outputVariables": variables}


def test_the_largest_end_of_a_call_fits_into_a_message() -> None:
    context = {f"name_{number}": "\u4f60" * 1000 for number in range(8)}
    [message] = opened(GenesysConnector).protocol.send(Transfer("desk", context))
    assert len(message) < 65_535


@pytest.mark.parametrize("digit", ["0", "9", "*", "#", "a"])
def test_keys(digit: str) -> None:
    assert parts(opened(GenesysConnector).say("dtmf", {"digit": digit})) == [Dtmf(digit.upper())]


@pytest.mark.parametrize("digit", ["", "12", "x", 5, None])
def test_what_is_no_key_is_dropped(digit: Any) -> None:
    assert kinds(opened(GenesysConnector).say("dtmf", {"digit": digit})) == ["bad_field"]


def test_of_stereo_the_connector_hears_the_caller() -> None:
    genesys = opened(GenesysConnector, media=[media("internal", "external")])
    assert genesys.take(b"\x01\x81\x02\x82") == [AudioIn(b"\x81\x82", 0)]


def test_a_rate_limit_holds_our_audio_back_as_long_as_it_says() -> None:
    genesys = opened(GenesysConnector)
    genesys.take(PIECE)
    assert kinds(genesys.say("error", {"code": 429, "message": "slow down", "retryAfter": "PT0.4S"})) == [
        "rate_limited"
    ]
    assert genesys.send(Play(b"\x01")) == genesys.send(Play(b"\x02")) == []
    assert [type(event) for event in genesys.take(PIECE)] == [AudioIn]
    events = genesys.protocol.receive(PIECE)
    assert [event.message for event in events if isinstance(event, Answer)] == [b"\x01\x02"]
    assert genesys.send(Play(b"\x03")) == [b"\x03"]


def test_audio_held_back_is_dropped_with_what_plays() -> None:
    genesys = opened(GenesysConnector)
    genesys.say("error", {"code": 429, "message": "slow down"})
    genesys.send(Play(b"\x01"))
    assert [message["type"] for message in genesys.send(Clear())] == ["event"]
    for _ in range(6):
        assert [type(event) for event in genesys.take(PIECE)] == [AudioIn]
    assert genesys.send(Play(b"\x02")) == [b"\x02"]


def test_a_rate_limit_holds_for_ten_seconds_at_most() -> None:
    genesys = opened(GenesysConnector)
    genesys.say("error", {"code": 429, "message": "slow down", "retryAfter": "PT900S"})
    genesys.send(Play(b"\x01"))
    for _ in range(49):
        genesys.take(PIECE)
    assert genesys.protocol.receive(PIECE)[-1] == Answer(b"\x01")


def test_playback_news_are_read() -> None:
    genesys = opened(GenesysConnector)
    assert genesys.say("playback_started") == genesys.say("playback_completed") == ()


@pytest.mark.parametrize(
    ("channels", "audio", "heard"),
    [
        (("external", "internal"), b"\x01\x81\x02\x82", [AudioIn(b"\x01\x02", 0), AudioIn(b"\x81\x82", 0, "agent")]),
        (("internal", "external"), b"\x81\x01", [AudioIn(b"\x81", 0, "agent"), AudioIn(b"\x01", 0)]),
        (("external",), b"\x01\x02", [AudioIn(b"\x01\x02", 0)]),
        (("internal",), b"\x81", [AudioIn(b"\x81", 0, "agent")]),
    ],
)
def test_a_monitor_knows_whose_voice_it_hears(channels: Any, audio: bytes, heard: Sequence[Event]) -> None:
    assert opened(GenesysMonitor, media=[media(*channels)]).take(audio) == heard


def test_a_monitor_prefers_both_voices() -> None:
    offered = [media("external"), media("internal"), media("external", "internal")]
    [answer, _] = parts(Genesys(GenesysMonitor).open(media=offered))
    assert answer == ("opened", {"media": [offered[2]]})


def test_a_monitor_takes_whole_samples() -> None:
    genesys = opened(GenesysMonitor)
    assert kinds(genesys.take(b"\x01\x02\x03")) == ["bad_audio"]
    assert len(genesys.take(b"\x01\x02")) == 2


def test_what_was_said_goes_to_a_monitor_as_transcripts() -> None:
    genesys = opened(GenesysMonitor)
    [said] = genesys.send(ShowTranscript("caller", "Hello.", False, 3, 200.0, 1400.0, 0.91))
    [entity] = said["parameters"]["entities"]
    shown = {"type": "display", "transcript": "Hello."}
    assert entity["type"] == "transcript"
    assert entity["data"] == {
        "id": entity["data"]["id"],
        "channelId": 0,
        "isFinal": False,
        "offset": "PT0.2S",
        "duration": "PT1.2S",
        "alternatives": [{"confidence": 0.91, "interpretations": [shown]}],
    }
    [final] = genesys.send(ShowTranscript("caller", "Hello there.", True, 3))
    assert final["parameters"]["entities"][0]["data"]["id"] == entity["data"]["id"]
    assert "offset" not in final["parameters"]["entities"][0]["data"]
    [agent] = genesys.send(ShowTranscript("agent", "Good day.", True, 3, confidence=1.7))
    data = agent["parameters"]["entities"][0]["data"]
    assert (data["channelId"], data["alternatives"][0]["confidence"]) == (1, 1.0)
    assert data["id"] != entity["data"]["id"]
    assert genesys.send(ShowTranscript("agent", "", True, 3)) == []


def test_transcripts_count_the_pauses_in_the_stream() -> None:
    genesys = opened(GenesysMonitor)
    genesys.take(b"\xff" * 3200)
    genesys.say("paused")
    genesys.say("resumed", {"start": "PT0.2S", "discarded": "PT10S"})
    genesys.take(b"\xff" * 3200)
    [before] = genesys.send(ShowTranscript("caller", "One.", True, 1, 20.0, 180.0))
    [across] = genesys.send(ShowTranscript("caller", "Two.", True, 2, 100.0, 300.0))
    [after] = genesys.send(ShowTranscript("caller", "Three.", True, 3, 240.0, 400.0))
    spans = [message["parameters"]["entities"][0]["data"] for message in (before, across, after)]
    assert [(data["offset"], data["duration"]) for data in spans] == [
        ("PT0.02S", "PT0.16S"),
        ("PT0.1S", "PT10.2S"),
        ("PT10.24S", "PT0.16S"),
    ]


def test_suggestions_go_to_a_monitor_as_articles() -> None:
    genesys = opened(GenesysMonitor)
    suggestion = ShowSuggestion("Opening hours", "We open at nine.", "hours.md#today", 0.73)
    [first], [second] = genesys.send(suggestion), genesys.send(suggestion)
    [entity] = first["parameters"]["entities"]
    [article] = entity["data"]["suggestions"]
    assert entity["type"] == "agentassist"
    assert article == {
        "type": "article",
        "id": article["id"],
        "confidence": 0.73,
        "title": "Opening hours",
        "excerpts": ["We open at nine."],
        "documentUri": "hours.md#today",
    }
    again = second["parameters"]["entities"][0]["data"]
    assert again["id"] != entity["data"]["id"]
    assert again["suggestions"] == [article]


def test_a_monitor_is_never_sent_audio_nor_variables() -> None:
    genesys = opened(GenesysMonitor)
    for command in (Play(PIECE), Clear(), Transfer("desk", {"a": "b"})):
        assert genesys.send(command) == []
    [message] = genesys.send(Hangup("draining", {"a": "b"}))
    assert message["parameters"] == {"reason": "completed", "info": "draining"}


def test_while_genesys_limits_a_monitor_only_final_text_is_sent() -> None:
    genesys = opened(GenesysMonitor)
    genesys.say("error", {"code": 429, "message": "slow down", "retryAfter": "PT0.2S"})
    assert genesys.send(ShowTranscript("caller", "Hel", False, 1)) == []
    assert len(genesys.send(ShowTranscript("caller", "Hello.", True, 1))) == 1
    genesys.take(b"\xff" * 3200)
    assert len(genesys.send(ShowTranscript("caller", "And", False, 2))) == 1


class Line:
    """A caller half and a protocol joined without a socket."""

    def __init__(self, caller: AudioHookCaller, protocol: GatewayProtocol) -> None:
        self.caller = caller
        self.protocol = protocol
        self.events: list[Event] = []
        self.heard: list[FromAgent] = []

    def to_agent(self, messages: Sequence[str | bytes]) -> None:
        for message in messages:
            for event in self.protocol.receive(message):
                if isinstance(event, Answer):
                    self.to_caller([event.message])
                else:
                    self.events.append(event)

    def to_caller(self, messages: Sequence[str | bytes]) -> None:
        for message in messages:
            for said in self.caller.receive(message):
                if isinstance(said, Respond):
                    self.to_agent(said.messages)
                else:
                    self.heard.append(said)

    def send(self, command: Any) -> None:
        self.to_caller(self.protocol.send(command))

    def speak(self, frames: int, sample: int = 0) -> None:
        for _ in range(frames):
            self.to_agent(self.caller.voice(FRAME + np.int16(sample)))

    def only(self, kind: type) -> list[Any]:
        return [item for item in [*self.events, *self.heard] if isinstance(item, kind)]


def connected(who: Who | None = None) -> Line:
    line = Line(ConnectorCaller(who), GenesysConnector(Opening("call")))
    line.to_agent(line.caller.opening())
    return line


def test_a_call_of_the_simulated_connector() -> None:
    line = connected(Who("+15550100", "+15550199", {"language": "zh", "tier": "gold"}))
    parameters = {"tier": "gold", "language": "zh-CN"}
    [started] = line.only(CallStarted)
    assert (started.caller, started.called, started.parameters) == ("+15550100", "+15550199", parameters)
    assert started.gateway_call_id == line.caller.call
    line.speak(600, 100)
    assert [len(piece.audio) for piece in line.only(AudioIn)] == [1600] * 60
    line.send(Play(PIECE))
    line.to_agent(line.caller.key("7"))
    line.speak(11)
    line.send(Play(PIECE))
    line.send(Clear())
    assert (len(line.only(Heard)), len(line.only(Cleared)), line.only(Dtmf)) == (2, 1, [Dtmf("7")])
    line.send(Transfer("billing", {"intent": "invoice"}))
    assert line.only(Left) == [Left("completed")]
    assert line.only(CallEnded) == [CallEnded("disconnect")]
    assert line.caller.variables == {"intent": "invoice", "transfer_target": "billing", "outcome": "transfer"}
    assert line.only(Wrong) == line.only(Fault) == []
    assert line.caller.voice(FRAME) == line.caller.closing() == []


def test_the_simulated_caller_hangs_up() -> None:
    line = connected()
    line.to_agent(line.caller.closing())
    assert line.only(CallEnded) == [CallEnded("end")]
    assert line.only(Left) == line.only(Wrong) == []


def test_the_simulated_connector_limits_the_rate_and_we_wait() -> None:
    line = connected()
    for _ in range(31):
        line.send(Play(PIECE))
    line.send(Play(b"\x01"))
    assert (line.caller.limited, len(line.only(Heard))) == (1, 30)
    assert [fault.code for fault in line.only(Fault)] == ["rate_limited"]
    line.speak(60)
    assert len(line.only(Heard)) == 31
    assert line.only(Wrong) == []


def test_the_simulated_connector_takes_our_usual_pace_for_ever() -> None:
    line = connected()
    line.send(Play(PIECE))
    line.send(Play(PIECE))
    for _ in range(100):
        line.send(Play(PIECE))
        line.speak(10)
    assert line.caller.limited == 0
    assert line.only(Fault) == line.only(Wrong) == []


def test_a_refusal_as_the_simulated_caller_sees_it() -> None:
    line = Line(ConnectorCaller(), GenesysConnector(Opening("call")))
    line.send(Refuse("unauthorized"))
    line.to_agent(line.caller.opening())
    assert line.only(Left) == [Left("unauthorized")]
    assert line.only(CallEnded) == [CallEnded("refused")]
    assert line.only(CallStarted) == line.only(Wrong) == []


def test_a_monitored_conversation() -> None:
    caller = MonitorCaller(Who("+15550100"))
    line = Line(caller, GenesysMonitor(Opening("call")))
    line.to_agent(caller.opening())
    caller.agent_says(FRAME + np.int16(4000))
    line.speak(10, 100)
    [first, second] = line.only(AudioIn)
    assert (first.speaker, second.speaker) == ("caller", "agent")
    assert set(first.audio) == set(g711.encode_mulaw(FRAME + np.int16(100)))
    assert second.audio[:160] == g711.encode_mulaw(FRAME + np.int16(4000))
    assert second.audio[160:] == g711.encode_mulaw(np.zeros(1440, dtype=np.int16))
    line.send(ShowTranscript("caller", "Hello.", True, 1, 0.0, 200.0, 0.9))
    line.send(ShowTranscript("agent", "Good day.", True, 1))
    line.send(ShowSuggestion("Hours", "We open at nine.", "hours.md", 0.5))
    assert [item["channelId"] for item in caller.transcripts] == [0, 1]
    assert [item["title"] for item in caller.suggestions] == ["Hours"]
    assert len(line.only(Told)) == 3
    line.send(Hangup("draining"))
    assert line.only(Left) == [Left("completed")]
    assert line.only(Wrong) == []


def test_a_pause_of_the_simulated_caller() -> None:
    line = connected()
    line.to_agent([line.caller._pausing(True)])
    line.speak(50)
    assert line.only(AudioIn) == []
    line.to_agent([line.caller._pausing(False)])
    line.speak(10)
    [piece] = line.only(AudioIn)
    assert piece.timestamp_ms == 1000


def server(caller: AudioHookCaller, kind: str, parameters: Any, seq: int = 1, **changes: Any) -> Sequence[FromAgent]:
    head = {"version": "2", "id": caller.session, "type": kind, "seq": seq, "clientseq": 1}
    return caller.receive(json.dumps({**head, "parameters": parameters, **changes}))


def simulated(kind: type[AudioHookCaller] = ConnectorCaller) -> AudioHookCaller:
    caller = kind()
    caller.opening()
    assert server(caller, "opened", {"media": caller.offered[:1]}) == []
    return caller


EVENT = {"entities": [{"type": "barge_in", "data": {}}]}


@pytest.mark.parametrize(
    ("kind", "parameters", "changes"),
    [
        ("event", EVENT, {"seq": 1}),
        ("event", EVENT, {"seq": 4}),
        ("event", EVENT, {"clientseq": 9}),
        ("event", EVENT, {"clientseq": "1"}),
        ("event", EVENT, {"id": SESSION}),
        ("event", EVENT, {"version": "1"}),
        ("event", [], {}),
        ("event", {}, {}),
        ("event", {"entities": []}, {}),
        ("event", {"entities": ["barge_in"]}, {}),
        ("event", {"entities": [{"type": "transcript", "data": {}}]}, {}),
        ("event", {"entities": [{"type": "barge_in", "data": {"x": 1}}]}, {}),
        ("weather", {}, {}),
        ("opened", {}, {}),
        ("pong", {}, {}),
        ("closed", {}, {}),
        ("disconnect", {"reason": "boredom"}, {}),
        ("disconnect", {"reason": "completed", "outputVariables": {"a": 1}}, {}),
    ],
)
def test_the_simulated_caller_is_as_strict_as_genesys(kind: str, parameters: Any, changes: Any) -> None:
    said = server(simulated(), kind, parameters, **{"seq": 2, **changes})
    assert [item for item in said if isinstance(item, Wrong)]


@pytest.mark.parametrize("message", ["?", "[]", "x" * 70_000, b"", b"\xff" * 64_001])
def test_the_simulated_caller_ends_what_cannot_be_read(message: str | bytes) -> None:
    wrong, respond = simulated().receive(message)
    assert isinstance(wrong, Wrong)
    assert isinstance(respond, Respond)
    assert [json.loads(text)["type"] for text in respond.messages] == ["error", "close"]


def test_the_simulated_caller_waits_for_opened_and_gives_no_audio_to_it() -> None:
    caller = ConnectorCaller()
    caller.opening()
    assert [caller.voice(FRAME) for _ in range(20)] == [[]] * 20
    assert isinstance(caller.receive(PIECE)[0], Wrong)
    assert isinstance(server(caller, "opened", {"media": [media("internal")]})[0], Wrong)


def test_a_simulated_monitor_takes_no_audio_and_no_variables() -> None:
    assert isinstance(simulated(MonitorCaller).receive(PIECE)[0], Wrong)
    ended = {"reason": "completed", "outputVariables": {"a": "b"}}
    assert isinstance(server(simulated(MonitorCaller), "disconnect", ended, 2)[0], Wrong)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("transcript", {}),
        ("transcript", {"id": SESSION, "channelId": 2, "isFinal": True, "alternatives": []}),
        ("transcript", {"id": SESSION, "channelId": 0, "isFinal": True, "offset": "1", "alternatives": [{}]}),
        ("agentassist", {"id": SESSION, "suggestions": []}),
        ("agentassist", {"id": "x", "suggestions": [{"type": "faq"}]}),
        ("barge_in", {}),
    ],
)
def test_a_simulated_monitor_checks_events(kind: str, data: Any) -> None:
    said = server(simulated(MonitorCaller), "event", {"entities": [{"type": kind, "data": data}]}, 2)
    assert [item for item in said if isinstance(item, Wrong)]


def test_a_ping_without_a_pong_ends_the_simulated_call() -> None:
    caller = simulated()
    sent = [message for _ in range(400) for message in caller.voice(FRAME) if isinstance(message, str)]
    assert [json.loads(message)["type"] for message in sent] == ["ping", "error", "close"]
    assert isinstance(server(caller, "updated", {}, 2)[0], Wrong)


def test_positions_are_durations() -> None:
    caller = simulated()
    sent = [message for _ in range(60) for message in caller.voice(FRAME) if isinstance(message, str)]
    assert [json.loads(message)["position"] for message in sent] == ["PT0.8S"]
    assert re.fullmatch(r"PT(?:\d*\.)?\d+S", json.loads(sent[0])["position"])
