"""Asterisk's half of AudioSocket, as a simulated caller uses it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FromAgent, Heard, Left, Messages, Wrong
from agent.lab.tcp_line import audiosocket_dial
from audio.codec import Pcm16

_KINDS = {8000: 0x10, 12000: 0x11, 16000: 0x12, 24000: 0x13, 32000: 0x14, 48000: 0x16}
_SLIN = range(0x10, 0x19)


class AudioSocketCaller:
    """Writes and reads the frames of one call, as res_audiosocket does (a `LineProtocol` whose messages are frames).

    Asterisk hangs up by closing the connection. It gives the call up on an empty frame and on any kind but audio and
    the hang-up, which is reported as `Wrong` and ends the call.
    """

    def __init__(self, who: Who | None = None, rate: int = 8000, call: str | None = None) -> None:
        """`call`: the UUID under which the call was announced. Who calls does not travel."""
        self.rate = rate
        self.call = call or str(uuid.uuid4())
        self._kind = _KINDS[rate]

    def opening(self) -> Messages:
        return [_frame(0x01, uuid.UUID(self.call).bytes)]

    def voice(self, samples: Pcm16) -> Messages:
        return [_frame(self._kind, samples.astype("<i2").tobytes())]

    def lost(self) -> None:
        """Nothing counts the frames."""

    def key(self, digit: str) -> Messages:
        return [_frame(0x03, digit.encode("ascii"))]

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, str):
            return [Wrong(f"text of {len(message)} characters; AudioSocket has none"), Left("failed")]
        if not message:
            return [Wrong("an empty message"), Left("failed")]
        kind, payload = message[0], message[3:]
        if kind == 0x00:
            return [Left("hangup")]
        if kind not in _SLIN:
            return [Wrong(f"kind 0x{kind:02x}; Asterisk takes audio and the hang-up"), Left("failed")]
        if len(message) < 3 or int.from_bytes(message[1:3], "big") != len(payload) or not payload:
            return [Wrong(f"a frame of {len(message)} bytes without the payload it announces"), Left("failed")]
        if kind != self._kind:
            return [Wrong(f"audio of kind 0x{kind:02x} on a line of 0x{self._kind:02x}")]
        if len(payload) % 2:
            return [Wrong(f"audio of {len(payload)} bytes is not whole samples")]
        return [Heard(np.frombuffer(payload, dtype="<i2").astype(np.int16))]


def _frame(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


CALLERS = (GatewayCaller("audiosocket", AudioSocketCaller, dial=audiosocket_dial),)
