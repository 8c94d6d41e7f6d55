"""`agent evaluate knowledge`: whether questions find their section, and others are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.evaluating.output import Against, Config, FailOn, Html, Json, Markdown, Output, Seed, evaluated
from agent.cli.settings import settings_or_leave
from agent.config import CONFIGS, Settings
from agent.dialogue.knowledge.base import KnowledgeBase
from agent.dialogue.knowledge.folder import read_knowledge
from agent.dialogue.knowledge.measuring import Asked, ask_all, measured, padded
from agent.dialogue.knowledge.opening import CACHE, cache_of, settings_of
from agent.dialogue.knowledge.questions import read_questions
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Progress
from models.encoder import SentenceEncoder
from models.evaluation.report import Evaluation

QUESTIONS = "questions.yaml"


def knowledge(
    domain: Annotated[
        str | None, typer.Option(help="Name or folder of a domain, or all; without it, the configured one.")
    ] = None,
    sections: Annotated[
        int | None, typer.Option(help="Add made-up sections up to so many, to measure the time.", min=1, max=20_000)
    ] = None,
    seed: Seed = 0,
    config: Config = None,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """How well callers' questions are answered out of the knowledge files, on the domain's questions.yaml."""
    settings = settings_or_leave(config)

    def run(progress: Progress) -> Evaluation:
        progress(0, 1, "loading")
        encoder = SentenceEncoder()
        encoder.load()
        asked: list[Asked] = []
        sizes: dict[str, int] = {}
        for name, folder in _folders(settings, domain).items():
            known = read_knowledge(folder)
            questions = read_questions(folder / QUESTIONS, known.known)
            facts = known.facts if sections is None else tuple(padded(known.facts, sections, seed))
            progress(0, len(questions), f"reading {name}")
            cache = cache_of(folder, CACHE if sections is None else CACHE / str(sections))
            base = KnowledgeBase(facts, encoder, settings_of(folder), known.graph, cache)
            asked += ask_all(name, base, replace(known, facts=facts), questions, progress)
            sizes[name] = len(facts)
        return measured(asked, sizes, seed)

    evaluated("knowledge", run, Output(html, json_file, markdown, against, fail_on))


def _folders(settings: Settings, domain: str | None) -> dict[str, Path]:
    """The folders of the domains to measure, by name; translations that have questions of their own go with them."""
    shipped = CONFIGS / "domains"
    if domain == "all":
        found = {path.parent.name: path.parent for path in sorted(shipped.glob(f"*/{QUESTIONS}"))}
    else:
        folder = settings.domain_path() if domain is None else shipped / domain
        folder = folder if folder.is_dir() else Path(domain or folder)
        if not folder.is_dir():
            raise MeasureFailed(f"--domain {domain} is neither a folder nor one under {shipped}")
        found = {folder.name: folder}
    for name, folder in list(found.items()):
        found |= {f"{name}/{path.parent.name}": path.parent for path in sorted(folder.glob(f"*/{QUESTIONS}"))}
    return found
