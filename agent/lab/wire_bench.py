"""What a gateway's protocol costs: the time to read 20 ms of a caller, and to write 20 ms for him."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from agent.gateways.base import Answer, AudioIn, CallStarted, Event, GatewayProtocol, Opens, Play, ShowReply
from agent.gateways.gateway import Gateway, Opening
from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, LineProtocol, Respond
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Report, Table
from audio.codec import Pcm16

AIM_US = 60.0
"""Median cost of 20 ms, one way, that no JSON gateway may exceed."""
SECONDS = 40.0
"""Audio that goes each way; the first tenth warms up and is not counted."""
_WARM = 0.1
_MOST_MESSAGES = 40
_WHO = Who("+15555550143", "+15555550100")


@dataclass(frozen=True, slots=True)
class WireCost:
    """Cost of 20 ms of audio in us of the processor, median and 95th percentile; None where no audio flows that way.

    receive_us: the protocol's reading and the decoding to 16-bit samples. send_us: the encoding and the writing.
    message_ms: audio in one message of the gateway's, and of ours.
    """

    gateway: str
    wire: str
    receive_us: tuple[float, float] | None
    send_us: tuple[float, float] | None
    message_ms: tuple[float, float]

    @property
    def worst_us(self) -> float:
        """The dearer way's median."""
        return max((cost[0] for cost in (self.receive_us, self.send_us) if cost is not None), default=0.0)


def speech_like(rate: int, seconds: float, seed: int) -> list[Pcm16]:
    """Frames of 20 ms of noise at -20 dBFS that comes and goes as syllables do: no two are alike on the line."""
    count = round(seconds * 1000.0 / FRAME_MS)
    size = rate * FRAME_MS // 1000
    times = np.arange(count * size) / rate
    samples = np.random.default_rng(seed).normal(0.0, 3277.0, count * size) * (0.55 + 0.45 * np.sin(25.0 * times))
    return list(samples.clip(-32768, 32767).astype(np.int16).reshape(count, size))


def wire_cost(gateway: Gateway, simulated: GatewayCaller, seconds: float = SECONDS, seed: int = 0) -> WireCost:
    """Put `seconds` of audio through a gateway's protocol each way, against its other half, and time ours.

    Raises:
        MeasureFailed: the two do not come to a call.
    """
    protocol, caller = started(gateway, simulated)
    receive, in_ms = _receiving(protocol, caller, speech_like(caller.rate, seconds, seed))
    send, out_ms = _sending(protocol, seconds, seed)
    return WireCost(gateway.name, gateway.wire, receive, send, (in_ms, out_ms))


def started(gateway: Gateway, simulated: GatewayCaller) -> tuple[GatewayProtocol, LineProtocol]:
    """Both halves of a call that has begun.

    Raises:
        MeasureFailed: it does not begin.
    """
    query = dict(part.split("=", 1) for part in simulated.query.split("&") if part)
    headers = {name.lower(): value for name, value in simulated.headers.items()}
    protocol, caller = gateway.new(Opening("c-bench", headers, query)), simulated.new(_WHO)
    events: list[Event] = list(protocol.opening()) if isinstance(protocol, Opens) else []
    waiting = deque(caller.opening())
    begun = False
    for _ in range(_MOST_MESSAGES):
        begun = begun or any(isinstance(event, CallStarted) for event in events)
        waiting.extend(_replies(caller, events))
        if not waiting and begun:
            return protocol, caller
        if not waiting:  # a call that begins with its first sound
            waiting.extend(caller.voice(np.zeros(caller.rate * FRAME_MS // 1000, dtype=np.int16)))
        if not waiting:
            events = []
            continue
        events = list(protocol.receive(waiting.popleft()))
    raise MeasureFailed(f"gateway {gateway.name} and its simulated half do not come to a call; see their tests")


def _replies(caller: LineProtocol, events: Sequence[Event]) -> list[str | bytes]:
    """What the gateway says to our answers among `events`."""
    told = [one for event in events if isinstance(event, Answer) for one in caller.receive(event.message)]
    return [reply for one in told if isinstance(one, Respond) for reply in one.messages]


def _receiving(
    protocol: GatewayProtocol, caller: LineProtocol, frames: Sequence[Pcm16]
) -> tuple[tuple[float, float] | None, float]:
    encoding = protocol.capabilities.encoding
    costs: list[float] = []
    lengths: list[float] = []
    for frame in frames:
        waiting = deque(caller.voice(frame))
        while waiting:
            message = waiting.popleft()
            began = time.perf_counter_ns()
            samples = 0
            events = protocol.receive(message)
            for event in events:
                if isinstance(event, AudioIn):
                    heard = len(encoding.decode(event.audio))
                    samples += heard if event.speaker == "caller" else 0
            took_us = (time.perf_counter_ns() - began) / 1000.0
            if samples:
                lengths.append(samples * 1000.0 / encoding.rate)
                costs.append(took_us * FRAME_MS / lengths[-1])
            waiting.extend(_replies(caller, events))
    return _spread(costs), _median(lengths)


def _sending(protocol: GatewayProtocol, seconds: float, seed: int) -> tuple[tuple[float, float] | None, float]:
    can = protocol.capabilities
    if not can.audio_out or can.text_out:
        return None, 0.0
    line = np.concatenate(speech_like(can.encoding.rate, seconds, seed + 1))
    size = can.encoding.rate * can.frame_ms // 1000
    protocol.send(ShowReply(1, "began"))
    costs: list[float] = []
    for start in range(0, len(line) - size + 1, size):
        piece = line[start : start + size]
        began = time.perf_counter_ns()
        messages = protocol.send(Play(can.encoding.encode(piece)))
        took_us = (time.perf_counter_ns() - began) / 1000.0
        if messages:
            costs.append(took_us * FRAME_MS / can.frame_ms)
    return _spread(costs), float(can.frame_ms)


def _spread(costs: Sequence[float]) -> tuple[float, float] | None:
    counted = costs[round(_WARM * len(costs)) :]
    if not counted:
        return None
    median, p95 = np.percentile(counted, (50, 95))
    return round(float(median), 1), round(float(p95), 1)


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 1) if values else 0.0


def report(costs: Sequence[WireCost], command: str, seed: int = 0) -> Report:
    """The report on what was measured of some gateways."""
    columns = ("gateway", "wire", "ms a message in", "out", "receive 20 ms", "p95", "send 20 ms", "p95")
    rows = tuple(
        (
            cost.gateway,
            cost.wire,
            *(f"{ms:g}" if ms else "-" for ms in cost.message_ms),
            *_cells(cost.receive_us),
            *_cells(cost.send_us),
        )
        for cost in costs
    )
    dearest = max(costs, key=lambda cost: cost.worst_us)
    over = [cost.gateway for cost in costs if cost.worst_us > AIM_US]
    verdict = f"over {AIM_US:.0f} us: {', '.join(over)}" if over else f"none is over {AIM_US:.0f} us"
    notes = (f"The dearest is {dearest.gateway}: {dearest.worst_us:g} us; {verdict}.", f"Seed {seed}.")
    figures = {"seed": seed, "aim_us": AIM_US, "gateways": [asdict(cost) for cost in costs]}
    return Report("wire", command, (Table("Cost of 20 ms of audio, us", columns, rows),), figures, notes)


def _cells(cost: tuple[float, float] | None) -> tuple[str, str]:
    return ("-", "-") if cost is None else (f"{cost[0]:.1f}", f"{cost[1]:.1f}")
