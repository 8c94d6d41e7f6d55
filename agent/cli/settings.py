"""Settings for a command: read, or explained and left."""

from __future__ import annotations

from pathlib import Path

import typer
from pydantic import ValidationError

from agent.config import Settings, load_settings
from agent.yamlfile import FileError


def settings_or_leave(config: Path | None, **server: object) -> Settings:
    """The settings in force, with `server` values from the command line (None leaves one as it is).

    Raises:
        typer.Exit: with status 2, after saying which file and line is wrong and what to do.
    """
    try:
        settings = load_settings(config)
        given = {name: value for name, value in server.items() if value is not None}
        section = settings.server.model_validate({**settings.server.model_dump(), **given})
    except FileError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
    except ValidationError as error:
        for item in error.errors():
            named = "".join(f"--{part}: ".replace("_", "-") for part in item["loc"])
            typer.secho(f"{named}{item['msg'].removeprefix('Value error, ')}", fg="red", err=True)
        raise typer.Exit(2) from error
    return settings.model_copy(update={"server": section})
