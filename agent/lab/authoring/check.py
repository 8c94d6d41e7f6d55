"""Everything that can be said of a domain folder without a call: what is wrong, and what is odd."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.clock import RealClock
from agent.dialogue.actions import open_actions
from agent.dialogue.domain import Domain
from agent.dialogue.extending import base_folder
from agent.dialogue.knowledge.questions import read_questions
from agent.dialogue.loader import load_domain
from agent.lab.authoring.examples import examples_in, odd_examples
from agent.lab.authoring.flows import odd_flows, unused
from agent.lab.authoring.results import Results
from agent.lab.conversations import conversation_files, known_sources, read_conversation, unknown_names
from agent.lab.scenario import read_scenario
from agent.yamlfile import FileError, YamlFile, read_yaml
from models.contracts import Encoder

QUESTIONS = "questions.yaml"
DEMO = "demo.yaml"


@dataclass
class Findings:
    """What was found, each as `file:line: what; what to do`. domain: None where it cannot be loaded.

    errors keep a domain from being served, or a test of it from being run; warnings are odd but possible.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    domain: Domain | None = None


async def check_domain(folder: Path, encoder: Encoder | None) -> Findings:
    """Look at everything in the domain's folder; actions are opened on a database of their own, which is dropped.

    encoder: compares examples by meaning; None leaves that out.
    """
    found = Findings()
    try:
        found.domain = domain = load_domain(folder)
    except FileError as error:
        found.errors += error.problems
        return found
    found.errors += await _opening(domain)
    found.errors += _tests(folder, domain)
    files = {name: read_yaml(folder / f"{name}.yaml") for name in ("domain", "intents", "flows")}
    found.warnings += odd_flows(domain, files["flows"], Results(domain))
    found.warnings += unused(domain, files)
    found.warnings += _odd_rules(domain, files["domain"])
    if encoder is not None:
        inherited = _inherited(folder, domain)
        found.warnings += odd_examples(examples_in([files["intents"], *inherited]), encoder)
    found.errors, found.warnings = _once(found.errors), _once(found.warnings)
    return found


async def _opening(domain: Domain) -> list[str]:
    """Problems of opening the domain's actions and its database."""
    with tempfile.TemporaryDirectory(prefix="agent-domain-check-") as place:
        try:
            actions = await open_actions(domain, RealClock(), f"sqlite+aiosqlite:///{place}/{domain.name}.db")
        except FileError as error:
            return error.problems
        except Exception as error:  # a database entry point of the business may raise anything
            return [f"{domain.manner.database}: the database cannot be opened: {type(error).__name__}: {error}"]
        await actions.close()
    return []


def _tests(folder: Path, domain: Domain) -> Iterator[str]:
    """Problems of the conversations, the questions and the demo in the folder."""
    for path in conversation_files(folder):
        try:
            file, conversation = read_conversation(path)
        except FileError as error:
            yield from error.problems
        else:
            yield from unknown_names(file, conversation.script, domain)
    readers: dict[str, Callable[[Path], Any]] = {
        QUESTIONS: lambda path: read_questions(path, known_sources(domain)),
        DEMO: read_scenario,
    }
    for name, read in readers.items():
        for path in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if path.is_file():
                try:
                    read(path)
                except FileError as error:
                    yield from error.problems


def _odd_rules(domain: Domain, file: YamlFile) -> Iterator[str]:
    """Escalation rules that an earlier one always forestalls."""
    seen: dict[tuple[Any, ...], str] = {}
    for rule in domain.manner.escalation:
        at = next(
            (
                ("escalation", n)
                for n, own in enumerate(file.data.get("escalation") or ())
                if own.get("name") == rule.name
            ),
            None,
        )
        conditions = rule.model_dump(exclude={"name", "reason", "priority", "offer", "say"})
        key = tuple(sorted((name, str(value)) for name, value in conditions.items()))
        before = seen.setdefault(key, rule.name)
        if before != rule.name and at is not None:
            yield file.problem(at, f"rule '{rule.name}' asks for the same as '{before}' before it; part or remove them")


def _inherited(folder: Path, domain: Domain) -> list[YamlFile]:
    """The intents.yaml of what the domain extends."""
    base = base_folder(folder, domain.manner.extends) if domain.manner.extends is not None else None
    return [] if base is None else [read_yaml(base / "intents.yaml")]


def _once(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(lines))
