"""A domain in one language, ready for calls."""

from __future__ import annotations

from dataclasses import dataclass

from agent.dialogue.domain import Domain
from agent.dialogue.knowledge.watch import LiveKnowledge
from agent.dialogue.machine import FlowMachine
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.policy import Policy


@dataclass(frozen=True)
class Tongue:
    """What a call needs of one language."""

    domain: Domain
    machine: FlowMachine
    policy: Policy
    knowledge: LiveKnowledge
    emotion: EmotionSettings

    @property
    def language(self) -> str:
        """The language, as "en"."""
        return self.domain.manner.language


def tongue_of(domain: Domain, knowledge: LiveKnowledge) -> Tongue:
    """The parts for `domain` as it stands; apologies without words of their own use the phrase `apology`."""
    machine = FlowMachine(domain)
    emotion = domain.manner.emotion
    if not emotion.say.get("apologise"):
        emotion = emotion.model_copy(
            update={"say": {**emotion.say, "apologise": domain.manner.phrases["apology"].text}}
        )
    return Tongue(domain, machine, Policy(domain, machine), knowledge, emotion)
