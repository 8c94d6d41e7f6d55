"""The demo's webhook receiver takes signed handoffs and nothing else."""

import json
import time

import httpx
import pytest

from agent.clock import RealClock
from agent.lab.handoff_receiver import HandoffReceiver
from agent.outbound import SIGNATURE, TIMESTAMP, sign

KEY = "k" * 32


@pytest.fixture
async def receiver():
    seen = []
    async with HandoffReceiver(KEY, RealClock(), seen.append) as receiver:
        receiver.seen = seen
        yield receiver


def headers(body: bytes, key: str = KEY) -> dict[str, str]:
    stamp = str(int(time.time()))
    return {TIMESTAMP: stamp, SIGNATURE: sign(key.encode(), stamp, body)}


async def test_a_signed_handoff_is_accepted(receiver):
    body = json.dumps({"type": "handoff.requested", "handoff": {"rule": "asked_for_person"}}).encode()
    async with httpx.AsyncClient() as http:
        answer = await http.post(receiver.url, content=body, headers=headers(body))
    assert (answer.status_code, answer.json()) == (200, {"outcome": "accepted"})
    assert receiver.accepted == receiver.seen == [{"rule": "asked_for_person"}]


@pytest.mark.parametrize("changed", ["key", "body", "none"])
async def test_a_wrong_signature_is_refused(receiver, changed):
    body = b'{"rule": "x"}'
    signed = {} if changed == "none" else headers(body, "other" if changed == "key" else KEY)
    async with httpx.AsyncClient() as http:
        answer = await http.post(receiver.url, content=body + (b" " if changed == "body" else b""), headers=signed)
    assert answer.status_code == 401
    assert receiver.accepted == []
    assert receiver.refused == 1


async def test_what_is_no_handoff_is_refused(receiver):
    bad = b"{not json"
    async with httpx.AsyncClient() as http:
        assert (await http.get(receiver.url)).status_code == 404
        assert (await http.post(receiver.url, content=bad, headers=headers(bad))).status_code == 400
        assert (await http.post(receiver.url, content=b"[]", headers=headers(b"[]"))).status_code == 400
        assert (await http.post(receiver.url, content=b"x" * 1_000_001)).status_code == 400
    assert receiver.accepted == []
