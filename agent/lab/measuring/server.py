"""A server to measure: the configured one, with databases and recordings of its own and no way out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from agent.clock import Clock
from agent.config import PREFIX, load_settings
from agent.lab.handoff_receiver import HandoffReceiver
from agent.lab.local_server import local_server
from agent.lab.measuring.machine import MeasureFailed
from agent.yamlfile import read_yaml

READY_S = 30.0
"""How long `/ready` may say no after the server printed its address."""
_POLL_S = 0.05
_CLOSING_S = 15.0
"""How long the server may take to close a record after the call."""
_KEPT = ("vad", "floor", "recognizer", "understanding", "emotion", "voice", "pool")
"""Sections that environment variables may set; what leads out of the machine or to real data is left out."""


@dataclass(frozen=True)
class MeasuredServer:
    """A server that takes calls at `url`; `started_s` from its start until `/ready` agreed."""

    url: str
    pid: int
    started_s: float
    http: httpx.AsyncClient

    @property
    def twilio(self) -> str:
        """Address of the Twilio stream."""
        return self.url.replace("http", "ws", 1) + "/gateways/twilio"

    async def closed_call(self, gateway_call_id: str) -> Mapping[str, Any]:
        """The record of a call, by the carrier's id, once the server has closed it.

        Raises:
            MeasureFailed: the server keeps no record of it, or does not close it.
        """
        for _ in range(int(_CLOSING_S / _POLL_S)):
            rows = (await self._get("/api/calls?limit=200"))["calls"]
            row = next((row for row in rows if row["gateway_call_id"] == gateway_call_id), None)
            if row is not None and row["outcome"] is not None:
                return await self._get(f"/api/calls/{row['id']}")
            await asyncio.sleep(_POLL_S)
        raise MeasureFailed(
            f"the server did not close the record of call {gateway_call_id} within {_CLOSING_S:.0f} s; see its log"
        )

    async def _get(self, path: str) -> Mapping[str, Any]:
        try:
            answer = await self.http.get(path)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise MeasureFailed(f"the server does not answer {path}: {error}; see its log") from error
        found: Mapping[str, Any] = answer.json()
        return found


@contextlib.asynccontextmanager
async def measured_server(
    folder: Path,
    clock: Clock,
    config: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    calls: int = 1,
    domain: str = "shop",
    began: datetime | None = None,
    core: int | None = None,
) -> AsyncIterator[MeasuredServer]:
    """Start the server that `config` describes, with a demo domain and a new database, and end it with the block.

    Databases, recordings and the log lie in `folder`. Handoffs are accepted by a receiver of this run; no other webhook
    is sent and no carrier called, whatever is configured.
    `changes` are further settings by section; `calls` at a time must be let in. `domain`: a name, or a folder. `began`:
    the time of day at the server's start, now without it. core: the only processor core it may use; Linux only.

    Raises:
        FileError: the configuration is wrong.
        ServerFailed, MeasureFailed: it did not start.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    file = folder / "config.yaml"
    key = secrets.token_hex(32)
    pids: list[int] = []

    def on_start(pid: int) -> None:
        pids.append(pid)
        if core is not None:
            os.sched_setaffinity(pid, {core})

    from_ms = clock.now_ms()
    async with HandoffReceiver(key, clock) as receiver:
        settings = settings_to_measure(folder, config, changes or {}, calls, domain, receiver.url)
        await asyncio.to_thread(file.write_text, yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        environment = {**_environment(), f"{PREFIX}WEBHOOK_KEY": key}
        async with (
            local_server(
                folder / "server.log", ("--config", str(file)), environment, on_start=on_start, began=began
            ) as url,
            httpx.AsyncClient(base_url=url, timeout=10.0) as http,
        ):
            await _until_ready(http)
            yield MeasuredServer(url, pids[0], (clock.now_ms() - from_ms) / 1000.0, http)


def settings_to_measure(
    folder: Path,
    config: Path | None,
    changes: Mapping[str, Any],
    calls: int,
    domain: str = "shop",
    webhook: str | None = None,
) -> dict[str, Any]:
    """The configuration file of a measured server, whose handoffs go to `webhook`, on loopback.

    Raises:
        FileError: `config` is wrong.
    """
    configured = load_settings(config, {})
    merged: dict[str, Any] = dict(read_yaml(config).data or {}) if config is not None else {}
    ours: dict[str, Any] = {
        "server": {"max_calls": max(configured.server.max_calls, calls + 1)},
        "dialogue": {"domain": domain, "database_url": f"sqlite+aiosqlite:///{folder / 'business.db'}"},
        "handoff": {
            "webhook_url": webhook,
            "allow_private": webhook is not None,
            "transfer_to": None,
            "hooks_file": None,
        },
        "alerts": {"webhook_url": None},
        "records": {
            "database_url": f"sqlite+aiosqlite:///{folder / 'records.db'}",
            "recordings": str(folder / "recordings"),
        },
        "gateways": {"twilio": {"enabled": True}},
    }
    for part in (ours, changes):
        for section, values in part.items():
            merged[section] = {**(merged.get(section) or {}), **values}
    return merged


def _environment() -> dict[str, str]:
    kept = tuple(f"{PREFIX}{section.upper()}__" for section in _KEPT)
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name.startswith(kept)}


async def _until_ready(http: httpx.AsyncClient) -> None:
    for _ in range(int(READY_S / _POLL_S)):
        if (await http.get("/ready")).status_code == httpx.codes.OK:
            return
        await asyncio.sleep(_POLL_S)
    raise MeasureFailed(f"the server printed its address but /ready said no for {READY_S:.0f} s; see its log")
