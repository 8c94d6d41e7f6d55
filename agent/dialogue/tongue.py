"""A domain in one language, ready for calls."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.dialogue.domain import Domain
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.machine import FlowMachine
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.policy import Policy


@dataclass(frozen=True)
class Tongue:
    """What a call needs of one language; `knowledge` may be exchanged while calls run."""

    domain: Domain
    machine: FlowMachine
    policy: Policy
    knowledge: KnowledgeBase
    emotion: EmotionSettings

    @property
    def language(self) -> str:
        """The language, as "en"."""
        return self.domain.manner.language


def tongue_of(domain: Domain, knowledge: KnowledgeBase) -> Tongue:
    """The parts for `domain` as it stands; apologies without words of their own use the phrase `apology`."""
    machine = FlowMachine(domain)
    emotion = domain.manner.emotion
    if not emotion.say.get("apologise"):
        emotion = emotion.model_copy(
            update={"say": {**emotion.say, "apologise": domain.manner.phrases["apology"].text}}
        )
    return Tongue(domain, machine, Policy(domain, machine), knowledge, emotion)


def with_knowledge(tongue: Tongue, knowledge: KnowledgeBase) -> Tongue:
    """The same with another index."""
    return replace(tongue, knowledge=knowledge)
