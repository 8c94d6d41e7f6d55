"""A websocket of the server as calls see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fastapi import WebSocket, WebSocketDisconnect

from agent.call.transport import Disconnected

CLOSE_S = 2.0
"""How long a peer may take to accept a close frame before its socket is dropped."""
NO_STATUS, ABNORMAL = 1005, 1006
"""Close codes that only an end itself uses: no code was in the close frame, there was no close frame. RFC 6455."""
DIRECT = "callagent.direct"
"""The extension of ASGI that gives messages to whoever set `take`; see `agent.call.transport.Direct`."""

log = logging.getLogger(__name__)


class SocketTransport:
    """A Starlette websocket as `agent.call.transport.Transport`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            code = int(message.get("code") or ABNORMAL)
            # uvicorn says 1005, with no reason, of a connection that broke without a closing handshake as well.
            raise Disconnected(ABNORMAL if code == NO_STATUS and "reason" not in message else code)
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    def directly(self, take: Callable[[str | bytes], bool]) -> None:
        """See `agent.call.transport.Direct`; does nothing on a server without that extension."""
        extension = self._socket.scope.get("extensions", {}).get(DIRECT)
        if extension is not None:
            extension["take"] = take

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)
        except (RuntimeError, WebSocketDisconnect) as error:
            raise Disconnected from error

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code, reason[:120])
        except (RuntimeError, WebSocketDisconnect, TimeoutError):
            log.debug("the socket was closed already")
