"""`agent console`: who may sign in to the console."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from agent.clock import RealClock
from agent.config import load_settings
from agent.console.accounts import ROLES, AccountError, Accounts, checked_name
from agent.console.passwords import PasswordError, Passwords, checked_password
from agent.records.audit import AuditTrail
from agent.records.database import Database, DatabaseError
from agent.yamlfile import FileError

app = typer.Typer(help="Who may sign in to the console.", no_args_is_help=True)

PASSWORD = "CALLAGENT_CONSOLE_PASSWORD"
TERMINAL = "terminal"
"""Who the audit trail says it was."""

T = TypeVar("T")
Config = Annotated[Path | None, typer.Option("--config", help="Settings file; names the database.")]
Url = Annotated[str | None, typer.Option("--database", help="Database URL; default: records.database_url.")]


@app.command("add-user")
def add_user(
    name: Annotated[str, typer.Argument(help="2 to 64 lower-case letters, digits, '.', '_' and '-'.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "agent",
    skill: Annotated[list[str] | None, typer.Option(help="A skill of his; again for more. None: any call.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="A language he speaks; again for more.")] = None,
    database: Url = None,
    config: Config = None,
) -> None:
    """Let somebody sign in. The password is asked for, or comes from CALLAGENT_CONSOLE_PASSWORD."""

    async def work(accounts: Accounts, trail: AuditTrail) -> None:
        await trail.append(TERMINAL, "account_add", name, {"role": role})
        await accounts.add(name, role, given, skill or (), language or ())

    given = _password(name)
    _run(work, database, config)
    typer.echo(f"{name} may sign in as {role}")


@app.command("list")
def list_command(database: Url = None, config: Config = None) -> None:
    """List accounts."""

    async def work(accounts: Accounts, _: AuditTrail) -> Table:
        table = Table("name", "role", "skills", "languages", "signed in last (UTC)", "")
        for one in await accounts.everybody():
            last = "" if one.signed_in_at is None else one.signed_in_at.strftime("%Y-%m-%d %H:%M")
            skills = escape(", ".join(one.skills) or "any")
            table.add_row(one.name, one.role, skills, ", ".join(one.languages), last, "disabled" * one.disabled)
        return table

    Console().print(_run(work, database, config))


@app.command()
def disable(
    name: str,
    enable: Annotated[bool, typer.Option("--enable", help="Let him in again instead.")] = False,
    database: Url = None,
    config: Config = None,
) -> None:
    """Let somebody sign in no more; where he is signed in, he is out within seconds."""

    async def work(accounts: Accounts, trail: AuditTrail) -> None:
        await accounts.find(name)
        await trail.append(TERMINAL, "account_enable" if enable else "account_disable", name)
        await accounts.change(name, {"disabled": not enable})

    _run(work, database, config)
    typer.echo(f"{name} may {'sign in again' if enable else 'no longer sign in'}")


@app.command()
def password(name: str, database: Url = None, config: Config = None) -> None:
    """Give somebody another password; asked for, or from CALLAGENT_CONSOLE_PASSWORD. He is signed out everywhere."""

    async def work(accounts: Accounts, trail: AuditTrail) -> None:
        await accounts.find(name)
        await trail.append(TERMINAL, "account_password", name)
        await accounts.set_password(name, given)

    given = _password(name)
    _run(work, database, config)
    typer.echo(f"{name} has another password")


def _password(name: str) -> str:
    """The password, checked before the database is opened.

    Raises:
        typer.Exit: it cannot be taken.
    """
    given = os.environ.get(PASSWORD)
    if given is None:
        given = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        return checked_password(given, checked_name(name))
    except (AccountError, PasswordError) as error:
        _leave(error)
        raise typer.Exit(1) from error


def _run(work: Callable[[Accounts, AuditTrail], Awaitable[T]], url: str | None, config: Path | None) -> T:
    async def run() -> T:
        async with Database.open(url or load_settings(config).records.database_url) as database:
            clock = RealClock()
            return await work(Accounts(database, Passwords(), clock), AuditTrail(database, clock))

    try:
        return asyncio.run(run())
    except (AccountError, PasswordError, DatabaseError, FileError, SQLAlchemyError, OSError) as error:
        _leave(error)
        raise typer.Exit(1) from error


def _leave(error: Exception) -> None:
    typer.echo(f"agent console: {error}", err=True)
