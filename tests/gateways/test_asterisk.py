from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.asterisk import (
    ENCODINGS,
    GATEWAYS,
    HELD_MS,
    MAX_COMMAND,
    MAX_MEDIA,
    AriControl,
    AsteriskProtocol,
)
from agent.gateways.base import (
    Answer,
    AudioIn,
    CallStarted,
    Clear,
    Command,
    Dtmf,
    Event,
    Fault,
    Hangup,
    Mark,
    MarkReached,
    Play,
    Refuse,
    SendDtmf,
    ShowState,
    Transfer,
)
from agent.gateways.dialplan import DialplanHook, Place, place
from agent.gateways.gateway import Account, HookRequest, Opening
from agent.gateways.messages import EARLY_LIMIT, MALFORMED_LIMIT
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.asterisk import AsteriskCaller
from agent.lab.callers.catalogue import Who
from agent.lab.line import Cleared, Heard, Left, Marked, Respond, Wrong

(GATEWAY,) = GATEWAYS
CHANNEL = "1795300913.2"
PLAIN = (
    "MEDIA_START connection_id:agent channel:WebSocket/agent/0x7f3c28004a10 channel_id:1795300913.2 "
    "format:ulaw optimal_frame_size:160 ptime:20"
)
FRAME = bytes(range(160))


def start(**changes: Any) -> str:
    fields: dict[str, Any] = {
        "event": "MEDIA_START",
        "connection_id": "agent",
        "channel": "WebSocket/agent/0x7f3c28004a10",
        "channel_id": CHANNEL,
        "format": "ulaw",
        "optimal_frame_size": 160,
        "ptime": 20,
        "channel_variables": {"MEDIA_WEBSOCKET_CONNECTION_ID": "agent"},
    }
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not ...})


def event(name: str, **fields: Any) -> str:
    return json.dumps({"event": name, "channel_id": CHANNEL, **fields})


def started(opening: str = PLAIN, query: dict[str, str] | None = None) -> AsteriskProtocol:
    protocol = AsteriskProtocol(query)
    call, answer = protocol.receive(opening)
    assert isinstance(call, CallStarted)
    assert isinstance(answer, Answer)
    return protocol


def fault(events: Any) -> tuple[str, int | None]:
    [only] = events
    assert isinstance(only, Fault)
    return only.code, only.close


@pytest.mark.parametrize("name", ["asterisk_call", "asterisk_json", "asterisk_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, AsteriskProtocol())


@pytest.mark.parametrize(
    ("codec", "size", "rate"),
    [
        ("ulaw", 160, 8000),
        ("alaw", 160, 8000),
        ("slin", 320, 8000),
        ("slin12", 480, 12000),
        ("slin16", 640, 16000),
        ("slin24", 960, 24000),
        ("slin32", 1280, 32000),
        ("slin48", 1920, 48000),
    ],
)
def test_the_codec_of_the_channel_is_the_encoding(codec: str, size: int, rate: int) -> None:
    protocol = started(start(format=codec, optimal_frame_size=size))
    encoding = protocol.capabilities.encoding
    assert (encoding, encoding.rate, protocol.capabilities.frame_ms) == (ENCODINGS[codec], rate, 20)
    assert len(encoding.encode(np.zeros(rate // 50, dtype=np.int16))) == size


@pytest.mark.parametrize("opening", [PLAIN, start()])
def test_control_is_answered_in_the_format_it_came_in(opening: str) -> None:
    protocol = AsteriskProtocol()
    _, answer = protocol.receive(opening)
    assert isinstance(answer, Answer)
    commands: list[Command] = [Mark("g1.0.1"), Clear(), Hangup("goodbye")]
    sent = [message for command in commands for message in protocol.send(command)]
    if opening is PLAIN:
        assert answer.message == "START_MEDIA_BUFFERING"
        assert sent == ["MARK_MEDIA g1.0.1", "FLUSH_MEDIA", "START_MEDIA_BUFFERING", "HANGUP"]
    else:
        assert json.loads(str(answer.message)) == {"command": "START_MEDIA_BUFFERING"}
        assert [json.loads(str(message)) for message in sent] == [
            {"command": "MARK_MEDIA", "correlation_id": "g1.0.1"},
            {"command": "FLUSH_MEDIA"},
            {"command": "START_MEDIA_BUFFERING"},
            {"command": "HANGUP"},
        ]


def test_who_calls_comes_from_the_query_or_from_channel_variables() -> None:
    query = {"caller": " +15550100 ", "called": "+15550101", "call_id": "1795300900.1", "tier": "gold"}
    call = AsteriskProtocol(query).receive(PLAIN)[0]
    assert isinstance(call, CallStarted)
    assert (call.gateway_call_id, call.caller, call.called) == ("1795300900.1", "+15550100", "+15550101")
    assert call.parameters == {"tier": "gold"}
    variables = {"__caller": "+15550100", "_called": "+15550101", "call_id": "1795300900.1", "odd": None, "tier": "tin"}
    call = AsteriskProtocol({"tier": "gold"}).receive(start(channel_variables=variables))[0]
    assert isinstance(call, CallStarted)
    assert (call.gateway_call_id, call.caller, call.called) == ("1795300900.1", "+15550100", "+15550101")
    assert call.parameters == {"tier": "gold"}


def test_without_a_call_id_the_call_is_named_by_its_channel() -> None:
    call = AsteriskProtocol().receive(start(channel_variables=...))[0]
    assert isinstance(call, CallStarted)
    assert (call.gateway_call_id, call.stream_id) == (CHANNEL, "WebSocket/agent/0x7f3c28004a10")
    assert (call.caller, call.called, call.parameters) == (None, None, {})


@pytest.mark.parametrize(
    ("changes", "code", "close"),
    [
        ({"channel": ...}, "bad_field", 1007),
        ({"channel": 7}, "bad_field", 1007),
        ({"channel_id": ...}, "unsupported_version", 1003),
        ({"channel_id": None}, "bad_field", 1007),
        ({"channel_id": ""}, "bad_field", 1007),
        ({"format": ...}, "bad_field", 1007),
        ({"format": "opus"}, "unsupported_media", 1003),
        ({"format": "slin44"}, "unsupported_media", 1003),
        ({"format": ["ulaw"]}, "bad_field", 1007),
        ({"ptime": ...}, "bad_field", 1007),
        ({"ptime": 0}, "bad_field", 1007),
        ({"ptime": 20.0}, "bad_field", 1007),
        ({"ptime": True}, "bad_field", 1007),
        ({"ptime": "9" * 40}, "bad_field", 1007),
        ({"optimal_frame_size": ...}, "bad_field", 1007),
        ({"optimal_frame_size": 0}, "bad_field", 1007),
        ({"optimal_frame_size": 161}, "bad_field", 1007),
        ({"optimal_frame_size": -160}, "bad_field", 1007),
        ({"optimal_frame_size": "160 "}, "bad_field", 1007),
        ({"channel_variables": ["caller"]}, "bad_field", 1007),
        ({"channel_variables": {"caller": 15550100}}, "bad_field", 1007),
        ({"channel_variables": {"caller": "\0"}}, "bad_field", 1007),
        ({"channel_variables": {"call_id": "x" * 129}}, "bad_field", 1007),
    ],
)
def test_a_start_that_cannot_be_used_ends_the_call(changes: dict[str, Any], code: str, close: int) -> None:
    protocol = AsteriskProtocol()
    assert fault(protocol.receive(start(**changes))) == (code, close)
    assert protocol.receive(start()) == ()
    assert protocol.send(Play(FRAME)) == ()


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (PLAIN.replace(" channel_id:1795300913.2", ""), "unsupported_version"),
        (PLAIN.replace("ulaw", "g722"), "unsupported_media"),
        (PLAIN.replace(":160", ":"), "bad_field"),
        (PLAIN.replace(" ptime:20", ""), "bad_field"),
        ("MEDIA_START", "bad_field"),
    ],
)
def test_a_plain_start_is_read_as_strictly(opening: str, code: str) -> None:
    got = fault(AsteriskProtocol().receive(opening))
    assert got[0] == code
    assert got[1] in (1003, 1007)


@pytest.mark.parametrize("changes", [{"channel_variables": {"pin": ["secret-word"]}}])
def test_a_faulty_start_shows_no_variable(changes: dict[str, Any]) -> None:
    [only] = AsteriskProtocol().receive(start(**changes))
    assert isinstance(only, Fault)
    assert "pin" in only.detail
    assert "secret-word" not in only.detail


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "unknown_event"),
        ("RING", "unknown_event"),
        ("media_xoff", "unknown_event"),
        (PLAIN, "second_start"),
        ("MEDIA_MARK_PROCESSED", "bad_field"),
        ("MEDIA_MARK_PROCESSED " + "m" * 300, "bad_field"),
        ("DTMF_END", "bad_field"),
        ("DTMF_END digit:55", "bad_field"),
        ("DTMF_END digit:E channel_id:1795300913.2", "bad_field"),
        ("DTMF_END digit:5 channel_id:1.1", "wrong_stream"),
        ("ERROR channel_id:1795300913.2 error_text:Unable to parse JSON command", "gateway_error"),
        ('{"event":"MEDIA_XOFF"}', "unknown_event"),
    ],
)
def test_one_bad_plain_message_is_dropped_and_the_call_goes_on(message: str, code: str) -> None:
    protocol = started()
    assert fault(protocol.receive(message)) == (code, None)
    assert protocol.receive(FRAME) == (AudioIn(FRAME),)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("MEDIA_XOFF", "not_json"),
        ("[1]", "not_an_object"),
        ("{", "not_json"),
        ("{}", "bad_field"),
        ('{"event":7}', "bad_field"),
        ('{"event":"PING"}', "unknown_event"),
        (event("MEDIA_MARK_PROCESSED"), "bad_field"),
        (event("MEDIA_MARK_PROCESSED", correlation_id=""), "bad_field"),
        (event("MEDIA_MARK_PROCESSED", correlation_id=3), "bad_field"),
        (event("DTMF_END", digit=5), "bad_field"),
        (event("DTMF_END", digit=None), "bad_field"),
        (json.dumps({"event": "DTMF_END", "digit": "5", "channel_id": 7}), "wrong_stream"),
        (event("ERROR", error_text=None), "gateway_error"),
        (start(), "second_start"),
    ],
)
def test_one_bad_json_message_is_dropped_and_the_call_goes_on(message: str, code: str) -> None:
    protocol = started(start())
    assert fault(protocol.receive(message)) == (code, None)
    assert protocol.receive(FRAME) == (AudioIn(FRAME),)


@pytest.mark.parametrize("message", ["DTMF_END digit:5", "MEDIA_XON", "STATUS queue_length:1", b"\0"])
def test_nothing_counts_before_the_start(message: str | bytes) -> None:
    protocol = AsteriskProtocol()
    code = "media_before_start" if isinstance(message, bytes) else "not_started"
    for _ in range(EARLY_LIMIT - 1):
        assert fault(protocol.receive(message)) == (code, None)
    events = protocol.receive(message)
    assert [(item.code, item.close) for item in events if isinstance(item, Fault)][-1] == ("too_many_early", 1008)


def test_too_many_malformed_messages_and_too_large_ones_end_the_call() -> None:
    protocol = started(start())
    for _ in range(MALFORMED_LIMIT - 1):
        protocol.receive("{")
    events = protocol.receive("{")
    assert [item.close for item in events if isinstance(item, Fault)] == [None, 1007]
    assert fault(started().receive(bytes(65_537))) == ("message_too_big", 1009)


def test_audio_of_half_a_sample_is_dropped_and_of_none_is_ignored() -> None:
    protocol = started(start(format="slin", optimal_frame_size=320))
    assert protocol.receive(b"") == ()
    assert fault(protocol.receive(bytes(319))) == ("odd_audio", None)
    assert protocol.receive(bytes(320)) == (AudioIn(bytes(320)),)
    assert AsteriskProtocol().receive(b"") == ()


@pytest.mark.parametrize(
    "said",
    [
        "START_MEDIA_BUFFERING not supported in passthrough mode",
        "START_MEDIA_BUFFERING not supported while media direction is 'in'",
    ],
)
def test_a_channel_on_which_nothing_can_be_played_ends_the_call(said: str) -> None:
    plain = started().receive(f"ERROR channel_id:{CHANNEL} error_text:{said}")
    assert fault(plain) == ("unsupported_media", 1003)
    assert fault(started(start()).receive(event("ERROR", error_text=said))) == ("unsupported_media", 1003)


@pytest.mark.parametrize(
    "message",
    [
        "QUEUE_DRAINED",
        "MEDIA_BUFFERING_COMPLETED",
        "MEDIA_BUFFERING_COMPLETED b-1",
        f"STATUS channel_id:{CHANNEL} queue_length:3 xon_level:800 xoff_level:900 queue_full:false bulk_media:true",
    ],
)
def test_what_is_only_news_to_asterisk_is_passed_over(message: str) -> None:
    assert started().receive(message) == ()


def test_keys_and_marks() -> None:
    protocol = started()
    assert protocol.receive("DTMF_END digit:# channel_id:1795300913.2") == (Dtmf("#"),)
    assert protocol.receive("DTMF_END digit:a") == (Dtmf("A"),)
    assert protocol.receive("MEDIA_MARK_PROCESSED g1.0.1") == (MarkReached("g1.0.1"),)
    protocol = started(start())
    assert protocol.receive(event("DTMF_END", digit="*")) == (Dtmf("*"),)
    assert protocol.receive(event("MEDIA_MARK_PROCESSED", correlation_id="g1.0.1")) == (MarkReached("g1.0.1"),)


def test_no_command_is_longer_than_asterisk_reads() -> None:
    for protocol in (started(), started(start())):
        for name in ("m" * 64, "g12.3:4_5-6"):
            [command] = protocol.send(Mark(name))
            assert len(str(command).encode()) <= MAX_COMMAND
        for name in ("", "m" * 65, "two words", "line\nbreak", "ä", '"', "HANGUP\n"):
            assert protocol.send(Mark(name)) == ()


def test_long_audio_is_cut_into_messages_of_whole_frames() -> None:
    protocol = started()
    audio = bytes(np.random.default_rng(7).integers(0, 256, 200_000, dtype=np.uint8))
    sent = protocol.send(Play(audio))
    assert b"".join(message for message in sent if isinstance(message, bytes)) == audio
    assert all(len(message) <= MAX_MEDIA for message in sent)
    assert all(len(message) % 160 == 0 for message in sent[:-1])


def test_what_a_channel_cannot_do_gives_nothing() -> None:
    protocol = started()
    others: list[Command] = [
        Play(b""),
        SendDtmf("1"),
        Transfer("200"),
        Refuse("busy"),
        ShowState("speaking"),
    ]
    assert [protocol.send(command) for command in others] == [()] * len(others)
    waiting: list[Command] = [Play(FRAME), Mark("a"), Clear(), Hangup("goodbye"), Refuse("unauthorized")]
    assert [AsteriskProtocol().send(command) for command in waiting] == [()] * len(waiting)


def test_after_our_hang_up_nothing_is_sent_and_sound_is_let_pass() -> None:
    protocol = started()
    assert protocol.send(Hangup("goodbye")) == ("HANGUP",)
    assert protocol.send(Hangup("goodbye")) == ()
    assert protocol.send(Play(FRAME)) == ()
    assert protocol.receive(FRAME) == ()
    protocol.receive("MEDIA_XOFF")
    assert protocol.receive("MEDIA_XON") == ()


def test_between_xoff_and_xon_audio_and_marks_wait_in_order() -> None:
    protocol = started()
    assert protocol.receive("MEDIA_XOFF") == ()
    assert protocol.receive("MEDIA_XOFF") == ()
    commands: list[Command] = [Play(FRAME), Mark("a"), Play(FRAME[::-1]), Mark("b")]
    assert [protocol.send(command) for command in commands] == [()] * 4
    assert protocol.receive("MEDIA_XON") == (
        Answer(FRAME),
        Answer("MARK_MEDIA a"),
        Answer(FRAME[::-1]),
        Answer("MARK_MEDIA b"),
    )
    assert protocol.receive("MEDIA_XON") == ()
    assert protocol.send(Play(FRAME)) == (FRAME,)


def test_what_does_not_fit_between_xoff_and_xon_is_dropped_with_its_marks() -> None:
    protocol = started()
    protocol.receive("MEDIA_XOFF")
    for number in range(HELD_MS // 20 + 10):
        protocol.send(Play(FRAME))
        protocol.send(Mark(f"m{number}"))
    assert protocol.dropped_ms == 200.0
    let_go = [item.message for item in protocol.receive("MEDIA_XON") if isinstance(item, Answer)]
    assert let_go[-1] == f"MARK_MEDIA m{HELD_MS // 20 - 1}"
    assert sum(isinstance(message, bytes) for message in let_go) == HELD_MS // 20
    protocol.receive("MEDIA_XOFF")
    for _ in range(5000):
        protocol.send(Mark("m"))
    assert len(protocol.receive("MEDIA_XON")) == 1000


def test_a_clear_drops_what_waits() -> None:
    protocol = started()
    protocol.receive("MEDIA_XOFF")
    protocol.send(Play(FRAME))
    protocol.send(Mark("a"))
    assert protocol.send(Clear()) == ("FLUSH_MEDIA", "START_MEDIA_BUFFERING")
    assert protocol.receive("MEDIA_XON") == ()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        anything
        | near_miss(
            "event",
            ["MEDIA_START", "MEDIA_XOFF", "MEDIA_XON", "DTMF_END", "MEDIA_MARK_PROCESSED", "ERROR", "STATUS"],
            ["channel", "channel_id", "format", "ptime", "optimal_frame_size", "digit", "correlation_id", "error_text"],
            [start(), PLAIN, FRAME],
        ),
        max_size=25,
    )
)
def test_any_input_is_survived(messages: list[str | bytes]) -> None:
    takes_anything(AsteriskProtocol({"caller": "+15550100"}), messages)


@settings(max_examples=60, deadline=None)
@given(st.lists(anything | st.builds("{} {}:{}".format, *[st.text(max_size=12)] * 3), max_size=25))
def test_any_input_after_a_plain_start_is_survived(messages: list[str | bytes]) -> None:
    takes_anything(AsteriskProtocol(), [PLAIN, *messages])


# Both halves, without a socket.


@pytest.mark.parametrize("control", ["text", "json"])
@pytest.mark.parametrize("codec", ["ulaw", "alaw", "slin", "slin16", "slin24", "slin48"])
def test_the_protocol_and_asterisks_half_understand_each_other(codec: str, control: Any) -> None:
    caller = AsteriskCaller(Who("+15550100", "+15550101", {"tier": "gold"}), codec, control)
    protocol = GATEWAY.new(Opening("c-1"))
    events: list[Event] = [event for message in caller.opening() for event in protocol.receive(message)]
    call, answer = events
    assert isinstance(call, CallStarted)
    assert isinstance(answer, Answer)
    assert call.gateway_call_id == caller.channel_id
    if control == "json":
        assert (call.caller, call.called, call.parameters) == ("+15550100", "+15550101", {"tier": "gold"})
    assert caller.receive(answer.message) == []
    tone = (8000 * np.sin(np.arange(caller.rate // 50) / 3)).astype(np.int16)
    encoding = protocol.capabilities.encoding
    [heard] = [event for message in caller.voice(tone) for event in protocol.receive(message)]
    assert isinstance(heard, AudioIn)
    assert np.allclose(encoding.decode(heard.audio), tone, atol=300)
    [back] = [event for message in protocol.send(Play(encoding.encode(tone))) for event in caller.receive(message)]
    assert isinstance(back, Heard)
    assert np.allclose(back.samples, tone, atol=300)
    [mark] = [event for message in protocol.send(Mark("g1.0.1")) for event in caller.receive(message)]
    assert mark == Marked("g1.0.1")
    assert [e for m in caller.played("g1.0.1") for e in protocol.receive(m)] == [MarkReached("g1.0.1")]
    assert [e for m in caller.key("7") for e in protocol.receive(m)] == [Dtmf("7")]
    assert [e for m in protocol.send(Clear()) for e in caller.receive(m)] == [Cleared()]
    assert caller.cleared("g1.0.1") == []
    assert [e for m in protocol.send(Hangup("bye")) for e in caller.receive(m)] == [Left("hangup")]


def test_an_unpaced_agent_is_stopped_and_let_go_on_by_asterisks_half() -> None:
    caller = AsteriskCaller(codec="ulaw")
    protocol = GATEWAY.new(Opening("c-1"))
    for message in caller.opening():
        for item in protocol.receive(message):
            if isinstance(item, Answer):
                caller.receive(item.message)
    sent = heard = 0
    silence = np.zeros(160, dtype=np.int16)
    for tick in range(1100):
        for _ in range(2 if tick < 950 else 0):  # twice as fast as real time
            for message in protocol.send(Play(FRAME)):
                sent += 1
                for event_ in caller.receive(message):
                    assert not isinstance(event_, Wrong)
                    heard += isinstance(event_, Heard)
                    if isinstance(event_, Respond):
                        for text in event_.messages:
                            protocol.receive(text)
        for message in caller.voice(silence):
            for item in protocol.receive(message):
                if isinstance(item, Answer):
                    sent += 1
                    heard += sum(isinstance(one, Heard) for one in caller.receive(item.message))
    assert sent == heard
    assert sent < 1900  # it had to wait


@pytest.mark.parametrize(
    "message",
    ["", "M" * 129, "MARK", "{}", bytes(70_000), bytes(161)],
)
def test_asterisks_half_rejects_what_asterisk_would(message: str | bytes) -> None:
    caller = AsteriskCaller(codec="ulaw", control="text")
    assert isinstance(caller.receive(message)[0], Wrong)


def test_asterisks_half_rejects_what_is_no_json_command() -> None:
    caller = AsteriskCaller()
    for message in ("HANGUP", "[]", '{"cmd":"HANGUP"}'):
        assert isinstance(caller.receive(message)[0], Wrong)


# Who may come in.


def asking(authorization: str | None) -> Asking:
    headers = {} if authorization is None else {"authorization": authorization}
    return Asking("asterisk", "/gateways/asterisk", headers)


def verdicts(authorization: str | None, key: str | None = "asterisk:long-secret") -> Any:
    said = [way.check(asking(authorization), Keys(key, 1_795_300_900.0, Nonces())) for way in GATEWAY.ways]
    return next((verdict for verdict in said if verdict is not None), None)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_connection_proves_itself_by_basic_or_bearer() -> None:
    assert verdicts(basic("asterisk:long-secret")) == Admitted("asterisk:asterisk")
    assert verdicts("Bearer asterisk:long-secret") == Admitted("asterisk:bearer")
    assert verdicts(None) is None
    assert verdicts(basic("asterisk:long-secret"), None) == Refused("no_key")
    for wrong in ("asterisk:other", "asterisk", "other:long-secret", ""):
        assert verdicts(basic(wrong)) == Refused("bad_credentials")
    assert verdicts("Basic ???") == Refused("malformed")
    assert verdicts("Bearer other") == Refused("bad_credentials")


# Moving and ending a call.


def control(url: str | None = "http://ast.example.com:8088/ari/") -> AriControl:
    return AriControl(Account("agent", "ari-secret", url))


def test_ari_is_asked_as_it_documents() -> None:
    moved = control().transfer("1795300913.2", "desk,200,1")
    assert (moved.method, moved.basic, moved.form, moved.json) == ("POST", ("agent", "ari-secret"), None, None)
    base = "http://ast.example.com:8088/ari/channels/1795300913.2"
    assert moved.url == f"{base}/continue?context=desk&extension=200&priority=1"
    assert control().transfer("1795300913.2", "+15550102").url == f"{base}/continue?extension=%2B15550102&priority=1"
    assert (
        control().transfer("1795300913.2", "desk,s,start").url
        == f"{base}/continue?context=desk&extension=s&label=start"
    )
    ended = control().hang_up("a/b?c")
    assert (ended.method, ended.url) == ("DELETE", "http://ast.example.com:8088/ari/channels/a%2Fb%3Fc?reason=normal")
    assert control().ended(404, {"message": "Channel not found"})
    assert not control().ended(409, {"message": "Channel not in Stasis application"})


def test_without_an_address_ari_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="api_url"):
        control(None)


@pytest.mark.parametrize(
    "target", ["", "a,b,c,d", "200,1,", "${SHELL(id)}", "200)", "200&x=1", "2 0", "200\n", "x" * 99]
)
def test_a_target_that_is_no_place_in_the_dialplan_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="dialplan"):
        control().transfer("1", target)
    with pytest.raises(ValueError, match="dialplan"):
        DialplanHook("asterisk").after(target)


def test_places() -> None:
    assert place("200") == Place("200")
    assert place("desk,200") == Place("200", "desk")
    assert place("desk,+15550102,1") == Place("+15550102", "desk", "1")


def request(authorization: str | None, **form: str) -> HookRequest:
    headers = {} if authorization is None else {"authorization": authorization}
    return HookRequest("https://calls.example.com/gateways/asterisk/after", "POST", headers, form)


def test_the_dialplan_asks_where_the_caller_goes() -> None:
    hook = GATEWAY.hook
    assert hook is not None
    key, now = "asterisk:long-secret", 1_795_300_900.0
    assert hook.signed(request(basic(key)), key, now)
    assert hook.signed(request(f"Bearer {key}"), key, now)
    for wrong in (None, basic("asterisk:other"), "Bearer x", "Basic ???", "Digest x"):
        assert not hook.signed(request(wrong), key, now)
    assert hook.call_id(request(None, call_id="1795300913.2")) == "1795300913.2"
    for wrong in ("", "x" * 129, "a b", "\0"):
        assert hook.call_id(request(None, call_id=wrong)) is None
    assert hook.call_id(request(None)) is None
    assert (hook.after(None), hook.after("desk,200,1"), hook.media_type) == ("", "desk,200,1", "text/plain")
    assert hook.busy() == "busy"
    with pytest.raises(ValueError, match="address"):
        hook.connect(request(None), "wss://calls.example.com/gateways/asterisk", "", {})


def test_the_record() -> None:
    assert (GATEWAY.name, GATEWAY.subprotocols, GATEWAY.refuses) == ("asterisk", ("media",), "http")
    assert GATEWAY.control is not None
