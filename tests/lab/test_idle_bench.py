"""Idle streams: what the silent callers send, what they do with what comes, and what the report says."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.clock import RealClock
from agent.frames import FrameReader
from agent.gateways.base import Mark, Play
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Opening
from agent.lab.callers.catalogue import gateway_callers
from agent.lab.idle_bench import (
    IdleCaller,
    IdleFound,
    IdleLoad,
    IdlePlan,
    client_frame,
    line_noise,
    own_cores,
    report,
)
from audio import g711

SERVER: dict[str, Any] = {"loop_lag_ms": {"p50": 0.5, "p95": 4.0, "most": 9.0}, "cpu": 0.7}
FOUND = IdleFound(IdlePlan(streams=20), 20, {"count": 9, "p95": 1.0}, 0.1, SERVER, 2.0, 0.5)


class Clock(RealClock):
    def __init__(self) -> None:
        self.at_ms = 0.0

    def now_ms(self) -> float:
        return self.at_ms


class Socket:
    """What a caller uses of a websocket: the transport it writes frames to."""

    def __init__(self) -> None:
        self.transport = self
        self.reader = FrameReader(1 << 16)
        self.got: list[Any] = []

    def write(self, data: bytes) -> None:
        self.reader.feed(data)
        while (one := self.reader.next()) is not None:
            self.got.append(one[1])


@pytest.mark.parametrize("message", ["", "é", "x" * 125, "x" * 126, b"", b"\x00" * 60_000])
def test_frames_are_what_a_server_reads(message: str | bytes) -> None:
    reader = FrameReader(1 << 18)
    reader.feed(client_frame(message))
    got = reader.next()
    assert got is not None
    assert got[1] == message
    assert reader.next() is None


def test_line_noise_has_its_level_and_survives_the_codec() -> None:
    frames = line_noise(8000, -65.0, 3)
    noise = np.concatenate([g711.decode_mulaw(g711.encode_mulaw(frame)) for frame in frames]).astype(float)
    assert 20.0 * np.log10(np.sqrt(np.mean(noise**2)) / 32768.0) == pytest.approx(-65.0, abs=1.0)
    assert len({frame.tobytes() for frame in frames}) == len(frames)


def test_a_silent_caller_sends_its_frames_and_returns_marks_when_they_were_played() -> None:
    clock, socket = Clock(), Socket()
    caller = IdleCaller(gateway_callers()["twilio"], [np.zeros(160, dtype=np.int16)], clock)
    caller._socket = socket  # type: ignore[assignment]
    caller._write(caller._protocol.opening())
    protocol = gateways()["twilio"].new(Opening("c-1"))
    for message in socket.got:
        protocol.receive(message)
    assert caller.up
    for message in (*protocol.send(Play(bytes(800))), *protocol.send(Mark("m1"))):
        caller._take(message)
    socket.got.clear()
    caller.send()
    clock.at_ms = 101.0
    caller.send()
    events = [json.loads(message)["event"] for message in socket.got]
    assert events == ["media", "media", "mark"]
    assert caller.greeted
    assert not caller.quiet
    clock.at_ms = 2200.0
    assert caller.quiet
    caller.hang_up()
    assert (caller.up, caller.ended) == (False, "hung_up")
    assert json.loads(socket.got[-1])["event"] == "stop"


def test_the_callers_of_a_plan_send_every_20_ms_each() -> None:
    async def main() -> IdleLoad:
        load = IdleLoad(gateway_callers()["twilio"], "ws://127.0.0.1:9/x", IdlePlan(streams=4), RealClock())
        for caller in load.callers:
            caller._socket = Socket()  # type: ignore[assignment]
        sending = asyncio.create_task(load._send())
        await asyncio.sleep(0.2)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return load

    load = asyncio.run(main())
    counts = [caller._sent for caller in load.callers]
    assert max(counts) - min(counts) <= 1
    assert 5 <= min(counts) <= max(counts) <= 12
    assert load.up == 4


def test_nobody_there_ends_the_callers_with_the_reason() -> None:
    async def main() -> IdleCaller:
        caller = IdleCaller(gateway_callers()["twilio"], [np.zeros(160, dtype=np.int16)], RealClock())
        await caller.run("ws://127.0.0.1:9/gateways/twilio", (), {})
        return caller

    assert "Error" in str(asyncio.run(main()).ended)


def test_held_means_all_up_and_in_time() -> None:
    assert FOUND.held
    assert not replace(FOUND, up=19).held
    late = {**SERVER, "loop_lag_ms": {"p95": 10.5}}
    assert not replace(FOUND, server=late).held
    assert not replace(FOUND, server=None).held


def test_the_report_has_a_row_a_run_and_says_how_calls_ended() -> None:
    noisy = replace(FOUND, plan=IdlePlan(streams=20, noise_dbfs=-65.0), up=3, wrongs=("closed",))
    found = report([FOUND, noisy], "agent bench")
    assert [row[1] for row in found.tables[0].rows] == ["silence", "noise -65 dBFS"]
    assert [row[-1] for row in found.tables[0].rows] == ["yes", "no"]
    assert any("closed" in note for note in found.notes)
    json.dumps(found.document())


def test_the_server_has_a_core_of_its_own_while_it_is_measured() -> None:
    before = os.sched_getaffinity(0)
    with own_cores() as core:
        if len(before) > 1:
            assert core not in os.sched_getaffinity(0)
    assert os.sched_getaffinity(0) == before
