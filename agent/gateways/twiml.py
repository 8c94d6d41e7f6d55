"""TwiML, and what its look-alikes made of it: what we answer when a call comes in, is handed over or ends."""

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
    """A script that the vendor would refuse; the message names the value and the remedy."""


def connect_stream(
    stream_url: str,
    parameters: Mapping[str, str] | None = None,
    action: str | None = None,
    status_callback: str | None = None,
    attributes: Mapping[str, str] | None = None,
    redirect: str | None = None,
) -> str:
    """Answer a call by a two-way media stream to `stream_url`.

    `parameters` arrive as the start message's custom parameters; `caller` and `called` are the ones our protocol
    reads. Twilio asks `action` what to do next once we close the stream, and tells `status_callback` of stream errors.
    attributes: more of the stream's, as look-alikes have them. redirect: asked what to do next, by those that know no
    `action`.

    Raises:
        TwimlError: the URL is not wss, or carries a query, fragment or password; a parameter is too long or not XML.
    """
    check_stream_url(stream_url)
    response = ElementTree.Element("Response")
    connect = ElementTree.SubElement(response, "Connect", given(action=action))
    stream = ElementTree.SubElement(
        connect, "Stream", given(url=stream_url, statusCallback=status_callback, **(attributes or {}))
    )
    for name, value in (parameters or {}).items():
        if len(name) + len(value) > _MAX_PARAMETER:
            raise TwimlError(
                f"parameter {name[:40]!r} takes {len(name) + len(value)} characters; Twilio allows {_MAX_PARAMETER}: "
                "pass an id and fetch the rest by it"
            )
        ElementTree.SubElement(stream, "Parameter", given(name=name, value=value))
    if redirect is not None:
        ElementTree.SubElement(response, "Redirect", given(method="POST")).text = written("redirect", redirect)
    return document(response)


def dial(target: str, caller_id: str | None = None, ring_s: int | None = None, action: str | None = None) -> str:
    """Connect the caller to the telephone number `target`, E.164.

    `caller_id` is the number shown to the person called, `ring_s` how many seconds it may ring; `action` is asked what
    to do once that leg ended, busy or unanswered included.

    Raises:
        TwimlError: a number is not E.164, or ring_s is outside 5-600.
    """
    check_number("target", target)
    if caller_id is not None:
        check_number("caller_id", caller_id)
    low, high = _RING_RANGE_S
    if ring_s is not None and not low <= ring_s <= high:
        raise TwimlError(f"ring_s is {ring_s}; Twilio allows {low} to {high} seconds")
    response = ElementTree.Element("Response")
    timeout = None if ring_s is None else str(ring_s)
    verb = ElementTree.SubElement(response, "Dial", given(callerId=caller_id, timeout=timeout, action=action))
    ElementTree.SubElement(verb, "Number").text = target
    return document(response)


def busy() -> str:
    """Refuse a call before it is answered: the caller hears the busy tone, and nobody pays."""
    response = ElementTree.Element("Response")
    ElementTree.SubElement(response, "Reject", given(reason="busy"))
    return document(response)


def hang_up() -> str:
    """End the call."""
    response = ElementTree.Element("Response")
    ElementTree.SubElement(response, "Hangup")
    return document(response)


def check_stream_url(url: str) -> None:
    """See that a media stream can go to `url`.

    Raises:
        TwimlError: it is not wss, or carries a query, fragment or password.
    """
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


def check_number(name: str, number: str) -> None:
    """See that `number` is E.164.

    Raises:
        TwimlError: it is not.
    """
    if not _E164.fullmatch(number):
        raise TwimlError(f"{name} is {number[:40]!r}; write it as E.164, for example +15550100")


def given(**attributes: str | None) -> dict[str, str]:
    """The attributes that are there.

    Raises:
        TwimlError: one holds a character that XML forbids.
    """
    return {name: written(name, value) for name, value in attributes.items() if value is not None}


def written(name: str, value: str) -> str:
    """`value`, fit for XML.

    Raises:
        TwimlError: it holds a character that XML forbids.
    """
    if _NOT_XML.search(value):
        raise TwimlError(f"{name} holds a character that XML forbids: {value[:40]!a}; remove it")
    return value


def document(response: ElementTree.Element) -> str:
    """A whole answer, as text."""
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")
