"""Opening the knowledge of a domain folder for calls and commands."""

from __future__ import annotations

from pathlib import Path

from agent.dialogue.knowledge.base import KnowledgeBase
from agent.dialogue.knowledge.folder import read_knowledge
from agent.dialogue.manner import KnowledgeSettings
from agent.yamlfile import read_yaml
from models.contracts import Encoder

CACHE = Path("var/cache/knowledge")
"""Folder in which vectors are kept, a pair of files for each domain."""


def open_knowledge(folder: Path, encoder: Encoder, settings: KnowledgeSettings, cache: Path | None) -> KnowledgeBase:
    """The knowledge of the domain in `folder`, read anew; blocks for as long as new texts take to encode.

    cache: the folder for vectors; None keeps none.

    Raises:
        FileError: a file is wrong.
    """
    known = read_knowledge(folder)
    return KnowledgeBase(known.facts, encoder, settings, known.graph, cache_of(folder, cache))


def cache_of(folder: Path, cache: Path | None) -> Path | None:
    """Where the vectors of the domain in `folder` are kept: CACHE/NAME, or CACHE/NAME-zh for a translation of it."""
    if cache is None:
        return None
    translated = (folder.parent / "domain.yaml").exists()
    return cache / (f"{folder.parent.name}-{folder.name}" if translated else folder.name)


def settings_of(folder: Path) -> KnowledgeSettings:
    """The thresholds of the domain in `folder`, without reading the rest of it.

    Raises:
        FileError: domain.yaml cannot be read.
    """
    path = folder / "domain.yaml"
    data = read_yaml(path).data if path.exists() else None
    chosen = data.get("knowledge") if isinstance(data, dict) else None
    return KnowledgeSettings.model_validate(chosen or {})
