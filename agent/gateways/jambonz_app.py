"""jambonz's application socket: jambonz asks what to do with a call and is answered with verbs; we command transfers.

JSON text, subprotocol ws.jambonz.org. Each message that wants one is answered by an `ack` with its msgid; the others
are only noted. Which faults end the connection is said in `agent.gateways.messages`; beyond those: a first message that
cannot be read ends it with 1007.

A call is `answer`, `listen` to our media socket and, where that ends by itself, `redirect`, by which jambonz asks what
comes next. A hook of `listen` itself would be asked after our own transfers and after those by jambonz's API too, and
its answer would undo them.

Source: jambonz/jambonz-feature-server @389c65e, lib/utils/ws-requestor.js, lib/session and lib/tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from agent.gateways.base import Answer, CallEnded, CallStarted, Event, Fault
from agent.gateways.messages import (
    INVALID,
    MessageError,
    Screen,
    bad_field,
    compact,
    object_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
)

SUBPROTOCOL = "ws.jambonz.org"
RATE = 8000
"""Samples a second that we ask for on the media socket, both ways: a telephone has no more."""
MAX_MESSAGE = 262_144
"""Bytes; the first message carries the whole SIP INVITE."""
MAX_RETURNS = 2
"""How often a caller whose media socket broke, or whom nobody answered, is connected to the agent again."""
RING_S = 30
MAX_HEADERS = 900
"""Characters of all SIP headers of a transfer together; what is longer may not fit into a UDP packet."""
_MAX_VALUE = 250
_MAX_SID = 128  # characters; jambonz' own have 36, and a path token binds no more than 200 bytes

_BEGINNINGS = ("session:new", "session:redirect", "session:reconnect", "session:adulting")
_QUESTIONS = ("queue:status", "dial:confirm", "verb:hook")
_NOTICES = (
    *("call:status", "verb:status", "jambonz:error", "llm:event", "llm:tool-call"),
    *("tts:tokens-result", "tts:streaming-event"),
)
_OVER = ("completed", "failed", "busy", "no-answer")

_PHONE = re.compile(r"\+?[0-9]{2,15}")
_SIP = re.compile(r"sips?:[A-Za-z0-9%_.!~*'()&=+$,;?/:@\[\]-]{1,200}")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

Verbs = list[dict[str, Any]]


@dataclass(slots=True)
class CallState:
    """What must be known of a call on whichever socket it is: a broken one comes back as another.

    returns: how often the caller was connected to the agent again. over: the call ended.
    """

    returns: int = 0
    over: bool = False


class JambonzApp:
    """One application socket, which serves one call. state: what is known of the call once it was named."""

    def __init__(
        self,
        media_url: Callable[[str], str],
        state_of: Callable[[str], CallState] = lambda call_sid: CallState(),
        accepts: Callable[[], bool] = lambda: True,
        expects: Callable[[str], bool] = lambda call_sid: False,
        auth: tuple[str, str] | None = None,
    ) -> None:
        """Say how calls are connected.

        media_url(call_sid): where jambonz connects the call's sound; asked anew for each connection, so that it may
        hold a token. state_of(call_sid): what is known of the call. accepts(): whether new calls are taken.
        expects(call_sid): whether a call whose media socket ended shall connect it again; else it is hung up. auth:
        user and password that jambonz is to show at the media socket.
        """
        self._media_url = media_url
        self._state_of = state_of
        self._accepts = accepts
        self._expects = expects
        self._auth = auth
        self._screen = Screen()
        self._call_sid = ""
        self.state = CallState()

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one message into what must be answered (`Answer`), and `CallStarted`, `CallEnded` and faults."""
        return self._screen.take(message, MAX_MESSAGE, self._handle)

    def transfer(self, target: str, context: Mapping[str, str] | None = None) -> str:
        """The message that moves the caller to `target`; see `moved` for what that may be.

        Raises:
            ValueError: jambonz has no verb for `target`.
        """
        return _command(moved(target, context or {}))

    def hang_up(self, reason: str = "") -> str:
        """The message that ends the call; `reason` goes into the BYE as header X-Reason."""
        return _command(hung_up(reason))

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            if not raw:
                return ()
            raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
        message = parse_object(raw)
        kind = message.get("type")
        if not isinstance(kind, str):
            raise bad_field("type", kind, "the name of a message")
        if not self._call_sid:
            return self._begin(kind, message)
        if message.get("call_sid", self._call_sid) != self._call_sid:
            raise MessageError("wrong_call", f"call_sid {shown(message.get('call_sid'))} is not this socket's; dropped")
        if kind in _NOTICES:
            return self._noticed(kind, message)
        if kind not in _BEGINNINGS and kind not in _QUESTIONS:
            raise MessageError("unknown_event", f"type {shown(kind)} is not known; it is ignored", weight="harmless")
        return (_ack(text_field(message, "msgid"), self._verbs(kind, message)),)

    def _begin(self, kind: str, message: Mapping[str, Any]) -> Sequence[Event]:
        if kind not in _BEGINNINGS:
            raise MessageError("not_started", f"{shown(kind)} before session:new; it is dropped", weight="early")
        try:
            call_sid, msgid = text_field(message, "call_sid", _MAX_SID), text_field(message, "msgid")
            if not call_sid.isascii():
                raise bad_field("call_sid", call_sid, "a call's sid")
            data = object_field(message, "data")
            started = CallStarted(
                gateway_call_id=call_sid,
                stream_id=msgid,
                caller=optional_text_field(data, "from") if data.get("from") else None,
                called=optional_text_field(data, "to") if data.get("to") else None,
                account=optional_text_field(data, "account_sid") if data.get("account_sid") else None,
            )
        except MessageError as error:
            raise MessageError(error.code, f"{kind}: {error.detail}", INVALID) from error
        if kind in ("session:new", "session:redirect") and not self._accepts():
            self._screen.closed = True
            return (_ack(msgid, refused(data.get("direction") == "outbound")), CallEnded("refused"))
        self._call_sid = call_sid
        self.state = self._state_of(call_sid)
        return (started, _ack(msgid, self._verbs(kind, message)))

    def _verbs(self, kind: str, message: Mapping[str, Any]) -> Verbs:
        """What is answered. An ack to session:reconnect only counts where the one to session:new was lost."""
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        match kind, message.get("hook"):
            case "session:redirect", "/ended":
                return self._again() if self._expects(self._call_sid) else hung_up()
            case (("session:new" | "session:redirect" | "session:reconnect"), _):
                return self._connected(answer=True)
            case "verb:hook", "/dialled":
                # where it rang in vain, feature-server 0.9.8 says nothing
                return hung_up() if data.get("dial_call_status") == "completed" else self._again()
            case "verb:hook", "/referred":
                status = data.get("final_referred_call_status", data.get("refer_status"))
                return [] if isinstance(status, int) and 200 <= status < 300 else self._again()
            case "verb:hook", "/queued":
                return self._again() if data.get("queue_result") == "error" else hung_up()
            case "verb:hook", "/conferenced":
                return hung_up()
            case _:
                return []

    def _again(self) -> Verbs:
        self.state.returns += 1
        return self._connected() if self.state.returns <= MAX_RETURNS else hung_up("lost")

    def _connected(self, answer: bool = False) -> Verbs:
        return connected(self._media_url(self._call_sid), self._auth, answer)

    def _noticed(self, kind: str, message: Mapping[str, Any]) -> Sequence[Event]:
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        if kind == "call:status":
            status = data.get("call_status")
            if status in _OVER and not self.state.over:
                self.state.over = True
                return (CallEnded(str(status)),)
        elif kind == "jambonz:error":
            return (Fault("gateway_error", f"jambonz reports {shown(data.get('details', data.get('msg')))}"),)
        return ()


def connected(media_url: str, auth: tuple[str, str] | None = None, answer: bool = False) -> Verbs:
    """Send the call's sound to `media_url` and play what comes back; when that has ended, ask what comes next."""
    listen: dict[str, Any] = {
        "verb": "listen",
        "url": media_url,
        "mixType": "mono",
        "sampleRate": RATE,
        "passDtmf": True,
        "bidirectionalAudio": {"enabled": True, "streaming": True, "sampleRate": RATE},
    }
    if auth is not None:
        listen["wsAuth"] = {"username": auth[0], "password": auth[1]}
    asked = {"verb": "redirect", "actionHook": "/ended"}
    return [*([{"verb": "answer"}] if answer else []), listen, asked, *hung_up()]


def moved(target: str, context: Mapping[str, str]) -> Verbs:
    """Move the caller to `target`: a number or a `sip:` address is dialled, `user:NAME` is a registered one,
    `refer:ADDRESS` leaves the call to the caller's own network, `queue:NAME` and `conference:NAME` are jambonz's own.

    `context` travels as SIP headers X-Handoff-..., as far as it fits.

    Raises:
        ValueError: it is none of these.
    """
    headers = sip_headers(context)
    kind, _, name = target.partition(":")
    if _PHONE.fullmatch(target):
        return _dialled({"type": "phone", "number": target}, headers)
    if _SIP.fullmatch(target):
        return _dialled({"type": "sip", "sipUri": target}, headers)
    if kind == "user" and _NAME.fullmatch(name):
        return _dialled({"type": "user", "name": name}, headers)
    if kind == "refer" and (_PHONE.fullmatch(name) or _SIP.fullmatch(name)):
        return [{"verb": "sip:refer", "referTo": name, "headers": headers, "actionHook": "/referred"}]
    if kind == "queue" and _NAME.fullmatch(name):
        return [{"verb": "enqueue", "name": name, "actionHook": "/queued"}]
    if kind == "conference" and _NAME.fullmatch(name):
        return [{"verb": "conference", "name": name, "actionHook": "/conferenced"}]
    wanted = "a number, sip:ADDRESS, user:NAME, refer:ADDRESS, queue:NAME or conference:NAME"
    raise ValueError(f"target {shown(target)} is nothing jambonz can connect to; give {wanted}")


def hung_up(reason: str = "") -> Verbs:
    """End the call."""
    return [{"verb": "hangup", "headers": {"X-Reason": _header(reason)}} if reason else {"verb": "hangup"}]


def refused(outbound: bool) -> Verbs:
    """Turn a call away: not answered where it came in, ended where jambonz made it."""
    return hung_up("busy") if outbound else [{"verb": "sip:decline", "status": 503, "reason": "Service Unavailable"}]


def sip_headers(context: Mapping[str, str]) -> dict[str, str]:
    """`context` as SIP headers, in order, as many as fit; other characters than printable ASCII are %-encoded."""
    headers: dict[str, str] = {}
    left = MAX_HEADERS
    for name, value in context.items():
        words = [word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", name) if word]
        words = words if words[:1] == ["Handoff"] else ["Handoff", *words]
        header, text = "-".join(["X", *words]), _header(value)
        size = len(header) + len(text) + 4
        if text and len(words) > 1 and size <= left:
            headers[header] = text
            left -= size
    return headers


def _dialled(target: Mapping[str, Any], headers: Mapping[str, str]) -> Verbs:
    return [{"verb": "dial", "target": [target], "headers": headers, "timeout": RING_S, "actionHook": "/dialled"}]


def _header(value: str) -> str:
    text = quote(" ".join(value.split()), safe=" !#$&'()*+,-./:;=?@[]^_`{|}~", errors="replace")[:_MAX_VALUE]
    return re.sub(r"%[0-9A-F]?$", "", text)


def _command(verbs: Verbs) -> str:
    return compact({"type": "command", "command": "redirect", "queueCommand": False, "data": verbs})


def _ack(msgid: str, verbs: Verbs) -> Answer:
    return Answer(compact({"type": "ack", "msgid": msgid, "data": verbs}))
