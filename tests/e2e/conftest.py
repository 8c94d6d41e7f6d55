"""One real server a module, with real models, on loopback; its files lie in a folder of the module's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
import yaml

from agent.config import CONFIGS
from agent.domains.shop.seed import create_shop
from agent.lab.cues import CueSheet, read_cues
from agent.lab.local_server import local_server
from audio.codec import Pcm16
from audio.resample import resample, to_float, to_pcm16
from audio.wav import read_wav
from models.recognizer import WhisperRecognizer

_CHANCE = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+|\b(?:\w+-)?(?=\d*[a-f])[0-9a-f]{16,}|\d+\.\d+")
"""Times, ids and measurements, in which any digits may come together."""


@dataclass
class RealServer:
    """A running `agent serve`."""

    url: str
    folder: Path
    http: httpx.AsyncClient
    pids: list[int] = field(default_factory=list)

    def socket(self, path: str) -> str:
        return self.url.replace("http", "ws", 1) + path

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8")

    async def record(self, gateway_call_id: str) -> Mapping[str, Any]:
        """The finished record of a call by its gateway's id."""
        async with asyncio.timeout(15):
            while True:
                rows = (await self.http.get("/api/calls", params={"limit": 200})).json()["calls"]
                for row in rows:
                    if row["gateway_call_id"] == gateway_call_id and row["outcome"] is not None:
                        return (await self.http.get(f"/api/calls/{row['id']}")).json()
                await asyncio.sleep(0.1)

    async def faults(self, code: str) -> float:
        """How often /metrics counted a fault."""
        wanted = f'callagent_faults_total{{code="{code}"}} '
        lines = (await self.http.get("/metrics")).text.splitlines()
        return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), 0.0)

    def written(self) -> dict[str, str]:
        """Every text that was left behind, without times and ids: the log, transcripts, each column of the database."""
        found = {"log": self.log}
        for path in (self.folder / "recordings").glob("*.json"):
            found[path.name] = path.read_text(encoding="utf-8")
        with sqlite3.connect(self.folder / "records.db") as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                rows = database.execute(f'select * from "{table}"').fetchall()
                found[f"table {table}"] = json.dumps([[str(value) for value in row] for row in rows])
        return {where: _CHANCE.sub("", text) for where, text in found.items()}


@asynccontextmanager
async def real_server(folder: Path, **sections: Mapping[str, Any]) -> AsyncIterator[RealServer]:
    """Serve the shop with `sections` of settings; everything it writes but its caches goes to `folder`."""
    await create_shop(folder / "shop.db")
    settings: dict[str, Any] = {
        "dialogue": {"domain": "shop", "database_url": f"sqlite+aiosqlite:///{folder / 'shop.db'}"},
        "records": {
            "database_url": f"sqlite+aiosqlite:///{folder / 'records.db'}",
            "recordings": str(folder / "recordings"),
        },
        **sections,
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLAGENT_")}
    pids: list[int] = []
    async with (
        local_server(folder / "server.log", ("--config", str(config)), environment, on_start=pids.append) as url,
        httpx.AsyncClient(base_url=url, timeout=10.0, trust_env=False) as http,
    ):
        yield RealServer(url, folder, http, pids)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory) -> AsyncIterator[RealServer]:
    async with real_server(tmp_path_factory.mktemp("server"), server={"handshake_s": 2.0}) as running:
        yield running


@pytest.fixture(scope="session")
def sheet() -> CueSheet:
    """What the demo's caller says, 8 kHz."""
    scenarios = CONFIGS / "scenarios"
    return read_cues(scenarios / "demo-caller.json", scenarios / "demo-caller.wav")


class Listener:
    """Writes down what was heard on a line."""

    def __init__(self) -> None:
        self._recognizer = WhisperRecognizer("tiny.en", context_s=30.0, beam_size=5)

    def hear(self, samples: Pcm16, rate: int) -> str:
        """The words of samples[n]. With less than a wide beam and silence around, Whisper at times stops half-way."""
        quiet = np.zeros(rate // 2, dtype=np.int16)
        whole = np.concatenate([quiet, samples, quiet])
        return self._recognizer.recognize(resample(to_float(whole), rate, 16_000)).text

    def heard(self, wav: Path, channel: int, start_ms: float, end_ms: float) -> str:
        """The words of one channel of a WAV between two times."""
        sound = read_wav(wav)
        first, last = (int(at * sound.rate / 1000.0) for at in (start_ms, end_ms))
        samples = sound.samples.reshape(len(sound.samples), -1)
        return self.hear(to_pcm16(samples[first:last, channel]), sound.rate)


@pytest.fixture(scope="session")
def listener() -> Listener:
    return Listener()
