"""`agent serve`: take calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from agent.cli.settings import settings_or_leave
from agent.logs import set_up_logs
from agent.records.database import DatabaseError
from agent.serving import ServeError, bind
from agent.serving import serve as run
from agent.yamlfile import FileError
from models.errors import ModelError


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file.", exists=True, dir_okay=False)] = None,
    domain: Annotated[str | None, typer.Option(help="Domain: a name under configs/domains, or a folder.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.", exists=True, dir_okay=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="TLS key, PEM.", exists=True, dir_okay=False)] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let callers on this machine in without secrets; loopback only.")
    ] = False,
) -> None:
    """Take calls until SIGTERM or Ctrl-C: the first lets running calls end, the second does not wait.

    Prints `ready on http://HOST:PORT` once calls are taken. Secrets come from the environment: see `agent doctor`.
    """
    settings = settings_or_leave(config, host=host, port=port, tls_cert=tls_cert, tls_key=tls_key)
    if domain is not None:
        settings = settings.model_copy(update={"dialogue": settings.dialogue.model_copy(update={"domain": domain})})
    set_up_logs(settings.logs.level, settings.logs.format)
    try:
        listening = bind(settings, insecure)
        if not insecure and not settings.secrets.any_gateway:
            typer.secho("no secrets are set: every call will be refused; see `agent doctor`", fg="yellow", err=True)
        run(settings, listening, insecure, lambda address: typer.echo(f"ready on {address}"))
    except (ServeError, FileError, ModelError, DatabaseError, SQLAlchemyError, OSError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
