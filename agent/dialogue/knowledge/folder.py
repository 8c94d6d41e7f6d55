"""Everything that a domain folder knows: its sections and its graph, read and checked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.graph import Graph, read_graph
from agent.dialogue.knowledge.questions import Known
from agent.dialogue.knowledge.reading.folder import read_sections
from agent.yamlfile import FileError


@dataclass(frozen=True)
class Knowledge:
    """Sections, and the graph where there is one."""

    facts: tuple[Fact, ...]
    graph: Graph | None = None

    @property
    def known(self) -> Known:
        """What sources may name."""
        return Known({fact.source for fact in self.facts}, () if self.graph is None else self.graph.entities)


def read_knowledge(folder: Path) -> Knowledge:
    """What the domain in `folder` knows: knowledge/* and graph.yaml.

    Raises:
        FileError: a file is wrong; every problem that can be seen is named.
    """
    problems: list[str] = []
    facts = read_sections(folder / "knowledge", problems)
    graph = read_graph(folder / "graph.yaml", problems)
    if problems:
        raise FileError(problems)
    return Knowledge(tuple(facts), graph)


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of change (ns) of the files; another value means that something was changed."""
    found = []
    for path in sorted([*(folder / "knowledge").glob("*"), folder / "graph.yaml"]):
        try:
            state = path.stat()
        except OSError:
            continue
        if not path.name.startswith("."):
            found.append((path.name, state.st_size, state.st_mtime_ns))
    return tuple(found)
