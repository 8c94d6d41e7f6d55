"""The application sockets that jambonz holds open, one for each call: they are answered, and callers moved by them."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.call.transport import GOING_AWAY, NORMAL, POLICY, TIMED_OUT, Disconnected, Transport
from agent.gateways.base import Answer, CallEnded, CallStarted, Fault
from agent.gateways.jambonz_app import CallState, JambonzApp
from agent.gateways.rest import CarrierError

HANDSHAKE_S = 10.0
"""How long a socket may be silent before it names its call."""
MOST_MESSAGES = 200
"""Messages of one socket within a second; a call has a few in all, a busy transfer some each second."""
RETURN_S = 5.0
"""How long a command waits for a socket that broke; jambonz connects again after half a second and more."""

_FLOOD = {"code": "message_flood"}

log = logging.getLogger(__name__)


@dataclass
class _Call:
    """A call that jambonz told us of. app, transport: its socket, None while it is broken. back: a socket is there."""

    state: CallState = field(default_factory=CallState)
    app: JambonzApp | None = None
    transport: Transport | None = None
    back: asyncio.Event = field(default_factory=asyncio.Event)


class JambonzApps:
    """Every application socket of this process, by the call's sid (an `agent.call.services.Carrier`).

    At most `bound` calls are known; of more the oldest that have no socket are forgotten, and where all have one new
    calls are declined.
    """

    def __init__(
        self,
        media_url: Callable[[str], str],
        accepts: Callable[[], bool] = lambda: True,
        expects: Callable[[str], bool] = lambda call_sid: False,
        auth: tuple[str, str] | None = None,
        bound: int = 2000,
    ) -> None:
        """media_url(call_sid), accepts(), expects(call_sid), auth: as for `agent.gateways.jambonz_app.JambonzApp`."""
        self._media_url = media_url
        self._accepting = accepts
        self._expects = expects
        self._auth = auth
        self._bound = bound
        self._calls: OrderedDict[str, _Call] = OrderedDict()

    def __len__(self) -> int:
        """How many calls are known."""
        return len(self._calls)

    async def run(self, transport: Transport) -> None:
        """Serve an accepted socket until it closes."""
        app = JambonzApp(self._media_url, self._state_of, self._accepts, self._expects, self._auth)
        call_sid: str | None = None
        now = asyncio.get_running_loop().time
        since, count = now(), 0
        try:
            while True:
                async with asyncio.timeout(HANDSHAKE_S if call_sid is None else None):
                    message = await transport.receive()
                if now() - since >= 1.0:
                    since, count = now(), 0
                count += 1
                if count > MOST_MESSAGES:
                    log.warning("over %d messages a second of call %s", MOST_MESSAGES, call_sid, extra=_FLOOD)
                    await transport.close(POLICY, "message_flood")
                    return
                for event in app.receive(message):
                    match event:
                        case Answer(answer):
                            await transport.send(answer)
                        case CallStarted(gateway_call_id):
                            call_sid = gateway_call_id
                            self._opened(call_sid, app, transport)
                        case CallEnded(reason):
                            log.info("jambonz says that call %s ended: %s", call_sid, reason)
                            if call_sid is None:
                                await transport.close(NORMAL, reason)
                                return
                        case Fault(code, detail, close):
                            log.warning("jambonz application socket: %s", detail, extra={"code": code})
                            if close is not None:
                                await transport.close(close, code)
                                return
        except TimeoutError:
            await transport.close(TIMED_OUT, "handshake_timeout")
        except Disconnected as gone:
            log.debug("jambonz closed the application socket of call %s: %d", call_sid, gone.code)
        finally:
            if call_sid is not None:
                self._closed(call_sid, app)

    async def transfer(self, call_sid: str, target: str, context: Mapping[str, str] | None = None) -> None:
        """Move the caller to `target`, see `agent.gateways.jambonz_app.moved`; the media socket ends by that.

        Raises:
            CarrierError: the call ended, or its socket does not come back.
            ValueError: jambonz cannot connect to `target`.
        """
        await self._command(call_sid, lambda app: app.transfer(target, context))

    async def hang_up(self, call_sid: str) -> bool:
        """End the call; False where it had ended.

        Raises:
            CarrierError: its socket does not come back.
        """
        try:
            await self._command(call_sid, lambda app: app.hang_up())
        except CarrierError as error:
            if error.code == "call_ended":
                return False
            raise
        return True

    async def close(self) -> None:
        """Close all sockets so that jambonz connects them elsewhere, for example because the server stops."""
        sockets = [call.transport for call in self._calls.values() if call.transport is not None]
        await asyncio.gather(*(socket.close(GOING_AWAY, "server_stopping") for socket in sockets))

    async def _command(self, call_sid: str, write: Callable[[JambonzApp], str]) -> None:
        call = self._calls.get(call_sid)
        try:
            async with asyncio.timeout(RETURN_S):
                while call is not None and not call.state.over:
                    await call.back.wait()
                    if call.app is None or call.transport is None:
                        continue
                    try:
                        await call.transport.send(write(call.app))
                    except Disconnected:
                        call.back.clear()
                        continue
                    return
        except TimeoutError as error:
            detail = f"jambonz's application socket of call {call_sid} broke and did not come back in {RETURN_S} s"
            raise CarrierError("unreachable", detail) from error
        raise CarrierError("call_ended", f"jambonz holds no application socket for call {call_sid}; it ended")

    def _state_of(self, call_sid: str) -> CallState:
        call = self._calls.get(call_sid)
        return call.state if call is not None else CallState()

    def _accepts(self) -> bool:
        return self._accepting() and (len(self._calls) < self._bound or self._oldest_without() is not None)

    def _oldest_without(self) -> str | None:
        return next((call_sid for call_sid, call in self._calls.items() if call.transport is None), None)

    def _opened(self, call_sid: str, app: JambonzApp, transport: Transport) -> None:
        call = self._calls.get(call_sid)
        if call is None:
            while len(self._calls) >= self._bound and (oldest := self._oldest_without()) is not None:
                del self._calls[oldest]
            call = self._calls[call_sid] = _Call(app.state)
            log.info("jambonz call %s has an application socket", call_sid)
        call.app, call.transport = app, transport
        call.back.set()

    def _closed(self, call_sid: str, app: JambonzApp) -> None:
        call = self._calls.get(call_sid)
        if call is None or call.app is not app:
            return
        call.app = call.transport = None
        if call.state.over:
            del self._calls[call_sid]
            call.back.set()
        else:
            call.back.clear()
