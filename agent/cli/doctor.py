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
from agent.gateways.catalogue import gateways
from agent.gateways.dialplan import DialplanHook
from agent.gateways.gateway import Account
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
        "twilio_auth_token": "calls from Twilio are refused without it, or CALLAGENT_KEY_TWILIO",
        "token_key": "`agent call`, the API and one-use stream tokens are refused without it",
        "webhook_key": "handoff webhooks are not sent without it",
    }
    if "twilio" in secrets.keys:
        del uses["twilio_auth_token"]
    for name, use in uses.items():
        given = getattr(secrets, name) is not None
        yield Finding(f"{PREFIX}{name.upper()}", "ok" if given else "note", "set" if given else use)
    for name in gateways():
        yield from _gateway(settings, name)
    if not secrets.any_gateway:
        yield Finding(
            "who may call", "note", "nobody yet: set a secret, or use `agent serve --insecure` on this machine"
        )
    if settings.server.public_url is None:
        known = [name for name in gateways() if secrets.key_of(name) is not None and settings.gateway(name).enabled]
        if signing := [name for name in known if _needs_address(name)]:
            what = f"signatures and webhooks cover it ({', '.join(signing)}); set server.public_url"
            yield Finding("public address", "bad", what)
    if not is_loopback(settings.server.host) and settings.server.tls_cert is None:
        yield Finding("TLS", "note", "none here; put a TLS proxy in front, or give --tls-cert and --tls-key")


def _needs_address(name: str) -> bool:
    """Whether this gateway is told our public address, or proves itself over it."""
    return _asks(name) or name == "jambonz" or any("signature" in way.name for way in gateways()[name].ways)


def _asks(name: str) -> bool:
    """Whether it asks us per call what to do, and is answered with the address of a stream."""
    hook = gateways()[name].hook
    return hook is not None and not isinstance(hook, DialplanHook)


def _gateway(settings: Settings, name: str) -> Iterator[Finding]:
    """What is configured for one gateway; nothing for those that nothing is configured for."""
    secrets, chosen = settings.secrets, settings.gateway(name)
    variable = name.upper().replace("-", "_")
    key = secrets.key_of(name)
    if not chosen.enabled:
        if name in secrets.keys:
            yield Finding(
                f"gateway {name}", "note", f"{PREFIX}KEY_{variable} is set, and gateways.{name}.enabled is off"
            )
        return
    if name in secrets.keys:
        yield Finding(f"gateway {name}", "ok", f"its connections are checked against {PREFIX}KEY_{variable}")
    if key is not None and secrets.token_key is None and (_asks(name) or name == "jambonz"):
        what = f"set {PREFIX}TOKEN_KEY, so that each call gets an address of its own; docs/gateways/{name}.md says why"
        yield Finding(f"streams of {name}", "note", what)
    if name == "audiosocket" and settings.audiosocket.port and secrets.token_key is None:
        yield Finding("audiosocket", "bad", f"calls are announced with {PREFIX}TOKEN_KEY, and it is not set")
    yield from _rest(settings, name)


def _rest(settings: Settings, name: str) -> Iterator[Finding]:
    """Whether the vendor's REST interface can be asked as it is configured."""
    gateway, secrets, chosen = gateways()[name], settings.secrets, settings.gateway(name)
    what, variable, rest = f"REST of {name}", f"{PREFIX}REST_{name.upper().replace('-', '_')}", secrets.rest_of(name)
    used = gateway.control is not None and "rest" in (gateway.capabilities.transfer, gateway.capabilities.hangup)
    if gateway.control is not None and rest is not None and chosen.account is not None:
        try:
            gateway.control(Account(chosen.account, rest, chosen.api_url, chosen.number))
        except ValueError as error:
            yield Finding(what, "bad", str(error))
            return
        if used:
            yield Finding(what, "ok", "account and secret are set; neither was tried")
    if not used:
        if name in secrets.rest:
            yield Finding(what, "note", f"{variable} is set, and not used: this gateway needs no REST")
    elif rest is None and chosen.account is not None:
        yield Finding(what, "note", f"gateways.{name}.account is set, and {variable} is not: nothing is done by REST")
    elif name in secrets.rest and chosen.account is None:
        yield Finding(what, "bad", f"its secret is set, and no account: set gateways.{name}.account")
