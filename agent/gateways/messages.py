"""What gateway protocols share: screening what the other side sends, and reading fields of its JSON.

Which faults end a call. One bad message is dropped (`Fault.close` None) and the call goes on, save for:

- a message over the limit: 1009, code `message_too_big`;
- MALFORMED_LIMIT malformed messages in a row: 1007, code `too_many_malformed`;
- EARLY_LIMIT messages that need a start before there was one: 1008, code `too_many_early`;
- whatever a protocol itself gives a close code, such as a start that cannot be understood (1007) or that asks for
  something not supported (1003).

After a fault with a close code the protocol is closed: it gives no events and no messages any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from agent.gateways.base import Event, Fault

UNSUPPORTED, INVALID, POLICY, TOO_BIG = 1003, 1007, 1008, 1009
"""Websocket close codes, RFC 6455 section 7.4.1."""

MALFORMED_LIMIT = 50
"""Malformed messages in a row that end a call: a second of 20 ms audio in which nothing could be read."""

EARLY_LIMIT = 250
"""Messages before the start that end a call: 5 s of 20 ms audio, as long as a handshake may take."""

_SHOWN = 40  # characters of a wrong value shown in a fault's detail

# A lone surrogate cannot be written as UTF-8, a NUL not into every database.
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")

Weight = Literal["malformed", "early", "harmless"]


class MessageError(Exception):
    """A message that cannot be used; becomes a `Fault`. `weight` says which limit it counts towards."""

    def __init__(self, code: str, detail: str, close: int | None = None, weight: Weight = "malformed") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.close = close
        self.weight: Weight = weight


class Screen:
    """One connection's limits (size, malformed in a row, messages before the start), and whether it is closed."""

    def __init__(self) -> None:
        self.closed = False
        self._malformed = 0
        self._early = 0

    def take(
        self, message: str | bytes, max_message: int, handle: Callable[[str | bytes], Sequence[Event]]
    ) -> Sequence[Event]:
        """Give `message` of at most `max_message` bytes to `handle`; what it rejects comes back as faults."""
        if self.closed:
            return ()
        plain = isinstance(message, bytes) or message.isascii()
        size = len(message) if plain else len(str(message).encode("utf-8", "surrogatepass"))
        if size > max_message:
            self.closed = True
            detail = f"message of {size} bytes; the limit is {max_message}: send audio in smaller pieces"
            return (Fault("message_too_big", detail, TOO_BIG),)
        try:
            events = handle(message)
        except MessageError as error:
            faults = [Fault(error.code, error.detail, error.close), *self._count(error.weight)]
            self.closed = any(fault.close is not None for fault in faults)
            return faults
        self.passed()
        return events

    def passed(self) -> None:
        """A message was in order."""
        self._malformed = 0

    def _count(self, weight: Weight) -> Sequence[Fault]:
        if weight == "malformed":
            self._malformed += 1
            if self._malformed >= MALFORMED_LIMIT:
                detail = f"{self._malformed} malformed messages in a row; send what the protocol describes"
                return (Fault("too_many_malformed", detail, INVALID),)
        elif weight == "early":
            self._early += 1
            if self._early >= EARLY_LIMIT:
                detail = f"{self._early} messages before the start message; send start first"
                return (Fault("too_many_early", detail, POLICY),)
        return ()


def parse_object(message: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MessageError: `not_json` or `not_an_object`.
    """
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise MessageError("not_json", f"message {shown(message)} is not JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise MessageError("not_an_object", f"message is a JSON {type(value).__name__}; send an object")
    return value


def object_field(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read a field that is a JSON object.

    Raises:
        MessageError: `bad_field`.
    """
    value = message.get(name)
    if not isinstance(value, dict):
        raise bad_field(name, value, "an object")
    return value


def text_field(message: Mapping[str, Any], name: str, max_length: int = 256) -> str:
    """Read a field that is a string of 1 to `max_length` characters that can be stored.

    Raises:
        MessageError: `bad_field`.
    """
    value = message.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= max_length or _UNWRITABLE.search(value):
        raise bad_field(name, value, f"a string of 1 to {max_length} characters")
    return value


def optional_text_field(message: Mapping[str, Any], name: str, max_length: int = 256) -> str | None:
    """Read a field that may be absent or null, else as `text_field`."""
    return None if message.get(name) is None else text_field(message, name, max_length)


def text_map_field(message: Mapping[str, Any], name: str) -> dict[str, str]:
    """Read a field that is an object of strings; absent or null means empty. Values never show in a fault.

    Raises:
        MessageError: `bad_field`.
    """
    if message.get(name) is None:
        return {}
    value = object_field(message, name)
    for key, item in value.items():
        if not isinstance(item, str):
            raise MessageError("bad_field", f"{name}[{shown(key)}] is a {type(item).__name__}; send a string")
        if _UNWRITABLE.search(key) or _UNWRITABLE.search(item):
            raise MessageError("bad_field", f"{name}[{shown(key)}] holds a character that is not text; remove it")
    return value


def digit_field(message: Mapping[str, Any], name: str) -> str:
    """Read a field that is one telephone key.

    Raises:
        MessageError: `bad_field`.
    """
    value = message.get(name)
    if not isinstance(value, str) or len(value) != 1 or value.upper() not in "0123456789*#ABCD":
        raise bad_field(name, value, "one of 0-9, *, # or A-D")
    return value.upper()


def bad_field(name: str, value: object, wanted: str) -> MessageError:
    """What to raise for a field with a wrong value."""
    return MessageError("bad_field", f"{name} is {shown(value)}; send {wanted}")


def shown(value: object) -> str:
    """The beginning of a value, fit for a log line."""
    if isinstance(value, dict | list):
        return f"a JSON {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        text = ascii(value[: _SHOWN + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        text = "a huge number"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def compact(message: Mapping[str, object]) -> str:
    """Write a JSON object without spaces."""
    return json.dumps(message, separators=(",", ":"))
