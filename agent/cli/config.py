"""`agent config`: the settings in force, and what each is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from agent.cli.settings import settings_or_leave
from agent.reference import markdown


def config(
    config: Annotated[Path | None, typer.Option(help="Configuration file.", exists=True, dir_okay=False)] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print every setting with unit, default and reason, as Markdown.")
    ] = False,
) -> None:
    """Print every setting with the value in force, as YAML that `--config` takes. Secrets are left out."""
    if reference:
        typer.echo(markdown(), nl=False)
        return
    settings = settings_or_leave(config)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)
