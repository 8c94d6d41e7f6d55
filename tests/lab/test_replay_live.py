"""`agent replay` on a call that was really placed, with real models."""

import asyncio
import json
import os
import shutil

import pytest
import yaml
from typer.testing import CliRunner

from agent.cli.main import app
from agent.clock import RealClock
from agent.config import CONFIGS
from agent.domains.shop.seed import create_shop
from agent.lab.cues import read_cues
from agent.lab.line import CallerLine
from agent.lab.local_server import local_server
from agent.lab.plain_client import PlainClient

pytestmark = pytest.mark.slow


async def place(folder) -> None:
    """A caller asks for an order, presses its number, and types the rest."""
    await create_shop(folder / "shop.db")
    sheet = read_cues(CONFIGS / "scenarios" / "demo-caller.json", CONFIGS / "scenarios" / "demo-caller.wav")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLAGENT_")}
    async with local_server(folder / "server.log", ("--config", str(folder / "config.yaml")), environment) as url:
        socket = url.replace("http", "ws", 1) + "/gateways/plain"
        async with CallerLine(socket, PlainClient(8000), RealClock(), life_s=90.0) as line:

            async def answered(since_ms: float) -> None:
                ear = line.ear
                assert await line.until(lambda: ear.heard_since(since_ms) and ear.silent_ms() > 1200.0, 30_000.0)

            await answered(0.0)
            line.say(sheet.audio("where"))
            await line.until(lambda: not line.talking, 10_000.0)
            await answered(line.now_ms)
            for key in "42719#":
                await line.press(key)
                await line.until(lambda: False, 200.0)
            await answered(line.now_ms)
            await line.type("What is your return policy?")
            await line.until(lambda: False, 4000.0)
            await line.hang_up()


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("placed")
    settings = {
        "dialogue": {"domain": "shop", "database_url": f"sqlite+aiosqlite:///{folder / 'shop.db'}"},
        "records": {
            "database_url": f"sqlite+aiosqlite:///{folder / 'records.db'}",
            "recordings": str(folder / "recordings"),
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    asyncio.run(place(folder))
    return folder


def replay(folder, what, *more):
    out = folder / "replay.json"
    out.unlink(missing_ok=True)
    result = CliRunner().invoke(
        app,
        ["replay", str(what), "--config", str(folder / "config.yaml"), "--json", str(out), *more],
        catch_exceptions=False,
    )
    found = json.loads(out.read_text()) if out.exists() else None
    return result, found


def test_the_same_models_hear_the_same_call(placed):
    (recording,) = (placed / "recordings").glob("*.wav")
    result, found = replay(placed, recording.stem)
    assert found is not None, result.output
    (call,) = found["calls"]
    assert call["words"]["errors"] == 0, result.output
    assert call["words"]["words"] >= 10
    kinds = {change["kind"] for change in call["changes"]}
    assert not kinds & {"transcript", "intent", "slots", "reply", "action", "outcome"}, result.output
    said = [turn["text"] for turn in call["record"]["turns"] if turn["speaker"] == "caller"]
    assert said[1:] == ["[keys 42719]", "What is your return policy?"]
    assert call["took_seconds"] < call["seconds"]
    assert f"transcript: 0 of {call['words']['words']} words differ (WER 0.0 %)" in result.stdout
    assert result.exit_code == (1 if call["changes"] else 0)


def test_another_setting_shows_what_it_changes(placed):
    result, found = replay(placed, placed / "recordings", "--set", "emotion.enabled=false", "--compute", "instant")
    assert result.exit_code == 1, result.output
    (call,) = found["calls"]
    assert "emotion" in {change["kind"] for change in call["changes"]}
    assert call["models"]["new"]["emotion"] == "off"
    assert call["words"]["errors"] == 0


def test_one_bad_recording_does_not_keep_the_others_from_being_replayed(placed, tmp_path):
    for kept in (placed / "recordings").iterdir():
        shutil.copy(kept, tmp_path)
    (tmp_path / "bad.wav").write_bytes(b"RIFF1234WAVEjunk")
    result, found = replay(placed, tmp_path, "--compute", "instant")
    assert result.exit_code == 2
    assert len(found["calls"]) == 1
    assert [one["call"] for one in found["failed"]] == ["bad"]
    assert "bad.wav" in result.stderr


def test_nothing_of_the_business_is_touched(placed):
    before = (placed / "shop.db").read_bytes(), (placed / "records.db").read_bytes()
    replay(placed, placed / "recordings", "--compute", "instant")
    assert ((placed / "shop.db").read_bytes(), (placed / "records.db").read_bytes()) == before
