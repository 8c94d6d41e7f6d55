"""The conversations of a domain as calls of a simulation: which there are, on which day, and what came of each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import CONFIGS
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain
from agent.lab.conversations import FOLDER, Conversation, conversation_files, read_conversations
from agent.lab.outcome import CallOutcome
from agent.lab.scenario import Scenario
from agent.lab.simulation import Job
from agent.lab.suite import Batch, Protocol
from agent.lab.voiced import judged, voiced
from agent.yamlfile import FileError


@dataclass(frozen=True)
class Voices:
    """Conversations of a domain that can be spoken, with their scenarios. unspoken: the others, and why."""

    domain: Domain
    conversations: Mapping[str, Conversation]
    scenarios: Sequence[Scenario]
    unspoken: Mapping[str, str]

    def batches(self, first: int, protocol: Protocol, repeat: int, seed: int) -> list[Batch]:
        """A batch for each conversation and round, counted from `first`: each has a server of its own."""
        found: list[Batch] = []
        for turn in range(repeat):
            for scenario in self.scenarios:
                drawn = random.Random(f"{seed}/{turn}/{scenario.name}").randrange(1 << 30)
                found.append(Batch(first + len(found), protocol, (Job(scenario, drawn),)))
        return found

    def began(self, batch: Batch) -> dict[str, Any]:
        """The time of day at which the server of a batch begins, as `measured_server` takes it."""
        conversation = self.conversations.get(batch.jobs[0].scenario.name)
        return {} if conversation is None else {"began": conversation.began}

    def judged(self, outcome: CallOutcome) -> CallOutcome:
        """The outcome with what the caller's task came to; other scenarios' as they are."""
        conversation = self.conversations.get(outcome.scenario)
        return outcome if conversation is None else judged(outcome, conversation, self.domain)


def read_voices(domain: str, only: str = "*") -> Voices:
    """The conversations of a domain, by its name or folder, whose names match the glob `only`.

    Raises:
        FileError: the domain or a conversation cannot be used, or there is none.
    """
    named = CONFIGS / "domains" / domain
    folder = named if named.is_dir() else Path(domain)
    loaded = load_domain(folder)
    conversations, problems = read_conversations(conversation_files(folder, only), loaded)
    if problems:
        raise FileError(problems)
    if not conversations:
        raise FileError([f"{folder / FOLDER}: no conversation matches {only!r}; write one there"])
    scenarios, unspoken = [], {}
    for conversation in conversations:
        scenario = voiced(conversation, loaded)
        if isinstance(scenario, str):
            unspoken[conversation.name] = scenario
        else:
            scenarios.append(scenario)
    return Voices(loaded, {one.name: one for one in conversations}, scenarios, unspoken)
