"""The Twilio gateway against streamdouble, a Twilio stand-in that others wrote."""

import asyncio
import json
import sys

import numpy as np
import pytest
import yaml

from audio.resample import to_float
from audio.wav import read_wav, write_wav

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

UNPLAYED = 3
"""Marks that may still wait for their sound when the caller hangs up: it is sent a little ahead."""
COMMAND = "import sys; from streamdouble.cli import main; sys.exit(main())"


async def streamdouble(*arguments: object) -> tuple[int, dict]:
    """Run its command; the exit status, 0 where nothing was wrong, and what it measured."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *map(str, arguments), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, errors = await process.communicate()
    assert out, errors.decode()
    return process.returncode, json.loads(out)


@pytest.fixture
def wav(sheet, tmp_path):
    def write(cue: str, before_s: float = 0.0, after_s: float = 0.0) -> str:
        """A line as a WAV; `before_s` and `after_s` seconds of silence around it."""
        before, after = (np.zeros(int(seconds * 8000), dtype=np.int16) for seconds in (before_s, after_s))
        write_wav(tmp_path / f"{cue}.wav", to_float(np.concatenate([before, sheet.audio(cue), after])), 8000)
        return f"{cue}.wav"

    return write


async def test_a_call_is_clean(server, wav, listener, tmp_path):
    stream = server.socket("/gateways/twilio")
    clip, reply = tmp_path / wav("where"), tmp_path / "reply.wav"
    status, told = await streamdouble(
        "call", stream, "--audio", clip, "--out", reply, "--param", "caller=+15555550142", "--quiet-period", 1.5
    )
    assert status == 0, told
    assert told["violations"] == []
    assert told["marks_received"] > 0
    assert told["marks_echoed"] == told["marks_received"]
    assert not told["timed_out"]
    sound = read_wav(reply)
    assert "automated assistant" in listener.heard(reply, 0, 0, len(sound.samples) * 1000 / sound.rate).lower()
    rows = (await server.http.get("/api/calls")).json()["calls"]
    assert [row["outcome"] for row in rows if row["caller"] == "+15555550142"] == ["caller_left"]


async def test_a_script_with_an_interruption_and_keys_is_clean(server, wav, tmp_path):
    steps = [
        {"wait_for": "audio"},
        {"wait": 8},
        {"say": wav("policy")},
        {"wait": 4},
        {"say": wav("correction")},
        {"expect": "clear"},
        {"wait": 6},
        {"dtmf": "1"},
        {"wait": 1},
        {"expect": "audio"},
        {"hangup": True},
    ]
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump({"name": "an interruption", "steps": steps}))
    stream = server.socket("/gateways/twilio")
    status, told = await streamdouble("scenario", path, stream, "--param", "caller=+15555550143")
    assert status == 0, told
    assert told["violations"] == []
    assert all(expectation["passed"] for expectation in told["expectations"])
    assert told["marks_received"] - UNPLAYED <= told["marks_echoed"] > 0
    rows = (await server.http.get("/api/calls")).json()["calls"]
    (row,) = [row for row in rows if row["caller"] == "+15555550143"]
    assert row["counters"]["interrupt"] >= 1
    assert not [code for code in row["counters"] if code in ("not_json", "bad_field", "unknown_event")]


async def test_a_caller_on_a_bad_line_is_answered(server, wav, tmp_path):
    clip = tmp_path / wav("where", 7.5, 4.0)
    status, told = await streamdouble(
        *("call", server.socket("/gateways/twilio"), "--audio", clip, "--param", "caller=+15555550144"),
        *("--packet-loss", 0.03, "--jitter", 30, "--quiet-period", 1.5),
    )
    assert status == 0, told
    assert told["frames_dropped"] > 0
    rows = (await server.http.get("/api/calls")).json()["calls"]
    (row,) = [row for row in rows if row["caller"] == "+15555550144"]
    turns = (await server.record(row["gateway_call_id"]))["turns"]
    assert row["outcome"] == "caller_left"
    assert [turn["intent"] for turn in turns if turn["speaker"] == "caller"] == ["order_status"]
    assert "order number" in turns[-1]["heard"]
