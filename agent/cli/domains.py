"""What commands about one domain share: its settings, its versions, and how errors end them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from agent.cli.settings import settings_or_leave
from agent.config import Settings
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain
from agent.learning.labels import LabelError
from agent.learning.opening import Opener
from agent.records.database import DatabaseError
from agent.yamlfile import FileError
from models.encoder import SentenceEncoder
from models.errors import ModelError
from models.registry import Registry

NEEDED = ("torch", "transformers", "peft", "accelerate")
"""Packages that fine-tuning needs; those of the extra `train`."""

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file.", exists=True, dir_okay=False)]
DomainOption = Annotated[
    str | None, typer.Option("--domain", help="A name under configs/domains, or a folder; default: dialogue.domain.")
]
DatabaseOption = Annotated[str | None, typer.Option("--database", help="Database URL; default: records.database_url.")]


def settings_for(config: Path | None, domain: str | None, database: str | None = None) -> Settings:
    """The settings in force, for `domain` and `database` where they are given."""
    settings = settings_or_leave(config)
    if domain is not None:
        settings = settings.model_copy(update={"dialogue": settings.dialogue.model_copy(update={"domain": domain})})
    if database is not None:
        records = settings.records.model_copy(update={"database_url": database})
        settings = settings.model_copy(update={"records": records})
    return settings


def names_of(settings: Settings, domain: Domain) -> list[str]:
    """What calls of the domain say they belong to: the setting, and the domain's own name."""
    return sorted({settings.dialogue.domain, domain.name})


def opener_for(settings: Settings, domain: Domain | None = None) -> Opener:
    """Opens the versions of the configured domain.

    Raises:
        FileError: the domain cannot be used.
    """
    domain = domain or load_domain(settings.domain_path())
    registry = Registry(settings.understanding.versions)
    return Opener(registry, domain, SentenceEncoder(cache_size=50_000), settings.understanding.cache)


@contextmanager
def told(command: str) -> Iterator[None]:
    """End the command with status 1 and a message where what it works on cannot be used."""
    try:
        yield
    except (ModelError, LabelError, FileError, DatabaseError, SQLAlchemyError, OSError) as error:
        message = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.errno == 28:
            message = f"{message}; free some space: nothing was changed"
        typer.secho(f"agent {command}: {message}", fg="red", err=True)
        raise typer.Exit(1) from error
