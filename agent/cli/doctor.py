"""`agent doctor`: is everything here that a call needs, and what to do where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.models import size
from agent.cli.settings import settings_or_leave
from agent.clock import RealClock
from agent.config import PREFIX, Settings
from agent.dialogue.actions import open_actions
from agent.dialogue.loader import load_domain
from agent.records.database import Database
from agent.server import is_loopback
from agent.serving import ServeError, bind
from agent.yamlfile import FileError
from audio.devices import DeviceError, list_devices
from models.errors import DeviceUnavailable
from models.recognizer import choose_device
from models.store import catalogue, check

State = Literal["ok", "note", "bad"]
COLOURS = {"ok": "green", "note": "yellow", "bad": "red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `bad` keeps calls from working, `note` is worth knowing."""

    what: str
    state: State
    detail: str


def doctor(
    config: Annotated[Path | None, typer.Option(help="Configuration file.", exists=True, dir_okay=False)] = None,
) -> None:
    """Check models, licences, domain, databases, sound devices, port and secrets. Exit status 1 if something is bad."""
    settings = settings_or_leave(config)
    table = Table("checked", "state", "what was found, and what to do")
    findings = list(examine(settings))
    for finding in findings:
        state = f"[{COLOURS[finding.state]}]{finding.state}[/]"
        table.add_row(escape(finding.what), state, escape(finding.detail))
    console = Console()
    console.print(table)
    bad = sum(finding.state == "bad" for finding in findings)
    if bad:
        console.print(f"[red]{bad} of {len(findings)} must be put right before calls work.[/]")
        raise typer.Exit(1)
    console.print("[green]Nothing is broken.[/] A note matters only to those who use what it speaks of.")


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything `settings` names."""
    yield from _models()
    yield _device(settings)
    yield _domain(settings)
    yield from asyncio.run(_databases(settings))
    yield _sound()
    yield _port(settings)
    yield from _secrets(settings)


def _models() -> Iterator[Finding]:
    for weights in catalogue():
        found = check(weights)
        if found.state != "ok":
            yield Finding(f"model {weights.name}", "note" if found.usable else "bad", found.detail)
        elif not weights.commercial:
            yield Finding(f"model {weights.name}", "note", f"{weights.licence}: {weights.note}")
        else:
            yield Finding(f"model {weights.name}", "ok", f"{weights.licence}; {size(found.size)}")


def _device(settings: Settings) -> Finding:
    try:
        return Finding("device", "ok", f"recognition runs on {choose_device(settings.recognizer.device)}")
    except DeviceUnavailable as error:
        return Finding("device", "bad", str(error))


def _domain(settings: Settings) -> Finding:
    try:
        domain = load_domain(settings.domain_path())
    except FileError as error:
        return Finding("domain", "bad", str(error))
    return Finding("domain", "ok", f"{domain.name}: {len(domain.intents)} intents, {len(domain.flows)} flows")


async def _databases(settings: Settings) -> list[Finding]:
    findings = []
    try:
        async with Database.open(settings.records.database_url):
            findings.append(Finding("records database", "ok", "opens, and its schema is current"))
    except Exception as error:
        findings.append(Finding("records database", "bad", f"{error}; check records.database_url"))
    try:
        domain = load_domain(settings.domain_path())
        actions = await open_actions(domain, RealClock(), settings.business_database(domain.name))
        await actions.close()
        findings.append(Finding("business database", "ok", "opens, and every action can be called"))
    except Exception as error:
        findings.append(Finding("business database", "bad", f"{error}; check dialogue.database_url"))
    folder = settings.records.recordings
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
        findings.append(Finding("recordings", "ok", f"{folder} can be written"))
    except OSError as error:
        findings.append(Finding("recordings", "bad", f"{error}; check records.recordings"))
    return findings


def _sound() -> Finding:
    try:
        devices = list_devices()
    except DeviceError as error:
        return Finding("sound devices", "note", f"{error} (only `agent call --mic` needs one)")
    return Finding("sound devices", "ok" if devices else "note", f"{len(devices)} found")


def _port(settings: Settings) -> Finding:
    try:
        bind(settings, insecure=False).close()
    except ServeError as error:
        return Finding("port", "bad", str(error))
    return Finding("port", "ok", f"{settings.server.host}:{settings.server.port} is free")


def _secrets(settings: Settings) -> Iterator[Finding]:
    secrets = settings.secrets
    uses = {
        "twilio_auth_token": "calls from Twilio are refused without it, and cannot be transferred by REST",
        "token_key": "`agent call`, the API and one-use stream tokens are refused without it",
        "webhook_key": "handoff webhooks are not sent without it",
    }
    for name, use in uses.items():
        given = getattr(secrets, name) is not None
        yield Finding(f"{PREFIX}{name.upper()}", "ok" if given else "note", "set" if given else use)
    for name in secrets.keys:
        yield Finding(f"gateway {name}", "ok", f"its connections are checked against {PREFIX}KEY_...")
    for name in secrets.rest:
        if settings.gateway(name).account is None:
            yield Finding(f"REST of {name}", "bad", f"its secret is set, and no account: set gateways.{name}.account")
    if not secrets.any_gateway:
        yield Finding(
            "who may call", "note", "nobody yet: set a secret, or use `agent serve --insecure` on this machine"
        )
    if (secrets.twilio_auth_token is not None or secrets.keys) and settings.server.public_url is None:
        yield Finding("public address", "bad", "signatures of gateways cover it; set server.public_url")
    if not is_loopback(settings.server.host) and settings.server.tls_cert is None:
        yield Finding("TLS", "note", "none here; put a TLS proxy in front, or give --tls-cert and --tls-key")
