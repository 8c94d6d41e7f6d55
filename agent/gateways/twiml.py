"""TwiML: what we answer Twilio when a call comes in, is handed over or ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.etree import ElementTree

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_PARAMETER = 500  # Twilio's limit on a parameter's name and value together, characters
_RING_RANGE_S = (5, 600)  # Twilio's limits on Dial's timeout


class TwimlError(ValueError):
    """TwiML that Twilio would refuse; the message names the value and the remedy."""


def connect_stream(
    stream_url: str,
    parameters: Mapping[str, str] | None = None,
    action: str | None = None,
    status_callback: str | None = None,
) -> str:
    """Answer a call by a two-way media stream to `stream_url`.

    `parameters` arrive as the start message's custom parameters; `caller` and `called` are the ones TwilioProtocol
    reads. Twilio asks `action` what to do next once we close the stream, and tells `status_callback` of stream errors.

    Raises:
        TwimlError: the URL is not wss, or carries a query, fragment or password; a parameter is too long or not XML.
    """
    _check_stream_url(stream_url)
    response = ElementTree.Element("Response")
    connect = ElementTree.SubElement(response, "Connect", _given(action=action))
    stream = ElementTree.SubElement(connect, "Stream", _given(url=stream_url, statusCallback=status_callback))
    for name, value in (parameters or {}).items():
        if len(name) + len(value) > _MAX_PARAMETER:
            raise TwimlError(
                f"parameter {name[:40]!r} takes {len(name) + len(value)} characters; Twilio allows {_MAX_PARAMETER}: "
                "pass an id and fetch the rest by it"
            )
        ElementTree.SubElement(stream, "Parameter", _given(name=name, value=value))
    return _document(response)


def dial(target: str, caller_id: str | None = None, ring_s: int | None = None, action: str | None = None) -> str:
    """Connect the caller to the telephone number `target`, E.164.

    `caller_id` is the number shown to the person called, `ring_s` how many seconds it may ring; `action` is asked what
    to do once that leg ended, busy or unanswered included.

    Raises:
        TwimlError: a number is not E.164, or ring_s is outside 5-600.
    """
    _check_number("target", target)
    if caller_id is not None:
        _check_number("caller_id", caller_id)
    low, high = _RING_RANGE_S
    if ring_s is not None and not low <= ring_s <= high:
        raise TwimlError(f"ring_s is {ring_s}; Twilio allows {low} to {high} seconds")
    response = ElementTree.Element("Response")
    timeout = None if ring_s is None else str(ring_s)
    verb = ElementTree.SubElement(response, "Dial", _given(callerId=caller_id, timeout=timeout, action=action))
    ElementTree.SubElement(verb, "Number").text = target
    return _document(response)


def busy() -> str:
    """Refuse a call before it is answered: the caller hears the busy tone, and nobody pays."""
    response = ElementTree.Element("Response")
    ElementTree.SubElement(response, "Reject", _given(reason="busy"))
    return _document(response)


def hang_up() -> str:
    """End the call."""
    response = ElementTree.Element("Response")
    ElementTree.SubElement(response, "Hangup")
    return _document(response)


def _check_stream_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise TwimlError(f"stream URL {url!r}: {error}") from error
    if parts.scheme != "wss" or not host:
        raise TwimlError(
            f"stream URL begins with {parts.scheme or 'nothing'!r}; Twilio streams to wss://HOST/PATH only"
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise TwimlError(f"stream URL to {host} has a query or fragment, which Twilio drops; use parameters instead")
    if parts.username is not None or parts.password is not None:
        raise TwimlError(f"stream URL to {host} has a user name or password; use a path token instead")


def _check_number(name: str, number: str) -> None:
    if not _E164.fullmatch(number):
        raise TwimlError(f"{name} is {number[:40]!r}; write it as E.164, for example +15550100")


def _given(**attributes: str | None) -> dict[str, str]:
    present = {name: value for name, value in attributes.items() if value is not None}
    for name, value in present.items():
        if _NOT_XML.search(value):
            raise TwimlError(f"{name} holds a character that XML forbids: {value[:40]!a}; remove it")
    return present


def _document(response: ElementTree.Element) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")
