from __future__ import annotations

from xml.etree import ElementTree

import pytest
from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from agent.gateways import twiml

URL = "wss://voice.example.com/twilio/media/token"


def same(ours: str, theirs: VoiceResponse) -> bool:
    return ElementTree.canonicalize(ours) == ElementTree.canonicalize(str(theirs))


def test_answering_is_what_twilios_own_library_writes() -> None:
    values = {"caller": "+15550100", "note": "<Fish & \"Chips\"> 'n' \u00fc"}
    response, connect = VoiceResponse(), Connect(action="https://voice.example.com/after?a=1&b=2")
    stream = connect.stream(url=URL, status_callback="https://voice.example.com/status")
    for name, value in values.items():
        stream.parameter(name=name, value=value)
    response.append(connect)
    ours = twiml.connect_stream(
        URL, values, "https://voice.example.com/after?a=1&b=2", "https://voice.example.com/status"
    )
    assert same(ours, response)


def test_dialling_and_hanging_up_are_what_twilios_own_library_writes() -> None:
    response, verb = VoiceResponse(), Dial(caller_id="+15550199", timeout=20, action="https://voice.example.com/after")
    verb.number("+15550100")
    response.append(verb)
    assert same(twiml.dial("+15550100", "+15550199", 20, "https://voice.example.com/after"), response)
    response = VoiceResponse()
    response.hangup()
    assert same(twiml.hang_up(), response)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ws://voice.example.com/media", "begins with 'ws'.*wss://"),
        ("https://voice.example.com/media", "begins with 'https'"),
        ("/media", "begins with 'nothing'"),
        ("wss:///media", "wss://HOST/PATH"),
        ("wss://voice.example.com/media?a=1", "use parameters"),
        ("wss://voice.example.com/media?", "use parameters"),
        ("wss://voice.example.com/media#a", "use parameters"),
        ("wss://user:word@voice.example.com/media", "use a path token"),
        ("wss://voice.example.com:x/media", "stream URL"),
        ("wss://voice.example.com/\0", "XML forbids"),
    ],
)
def test_stream_urls_that_twilio_refuses(url: str, message: str) -> None:
    with pytest.raises(twiml.TwimlError, match=message) as caught:
        twiml.connect_stream(url)
    assert "user:word" not in str(caught.value)


def test_parameters_have_limits() -> None:
    twiml.connect_stream(URL, {"a": "x" * 499})
    with pytest.raises(twiml.TwimlError, match=r"'a' takes 501 characters; Twilio allows 500"):
        twiml.connect_stream(URL, {"a": "x" * 500})
    with pytest.raises(twiml.TwimlError, match="XML forbids"):
        twiml.connect_stream(URL, {"a": "\x07"})


@pytest.mark.parametrize("number", ["", "5550100", "+0155501", "+1555 0100", "+1555010012345678", "sip:x@example.com"])
def test_only_e164_numbers_are_dialled(number: str) -> None:
    with pytest.raises(twiml.TwimlError, match=r"target .*E\.164"):
        twiml.dial(number)
    with pytest.raises(twiml.TwimlError, match=r"caller_id .*E\.164"):
        twiml.dial("+15550100", caller_id=number)


@pytest.mark.parametrize("ring_s", [4, 601])
def test_ringing_has_limits(ring_s: int) -> None:
    with pytest.raises(twiml.TwimlError, match="ring_s is"):
        twiml.dial("+15550100", ring_s=ring_s)


def test_a_busy_answer_refuses_the_call_unanswered() -> None:
    (verb,) = ElementTree.fromstring(twiml.busy())
    assert (verb.tag, verb.attrib) == ("Reject", {"reason": "busy"})
