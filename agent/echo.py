"""A websocket that sends back what it receives: for conformance runners, and to see whether a line works."""

from __future__ import annotations

from fastapi import WebSocket, WebSocketDisconnect


async def echo(socket: WebSocket) -> None:
    """Send every message back, text as text and binary as binary, until the other side closes."""
    try:
        await socket.accept()
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None:
                await socket.send_text(text)
            else:
                await socket.send_bytes(message["bytes"])
    except (RuntimeError, WebSocketDisconnect):  # gone while it was being answered
        return
