"""The dialogue of a domain, ready for calls: built once, then one `CallDialogue` a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agent.clock import Clock
from agent.dialogue.actions import Actions
from agent.dialogue.call import CallDialogue
from agent.dialogue.domain import Domain
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.loader import fixed_texts
from agent.dialogue.machine import FlowMachine
from agent.dialogue.text import holes, sentences
from models.contracts import Encoder, Tone


class DialogueEngine:
    """Holds what calls share. Building it encodes the knowledge files and blocks for that long."""

    def __init__(
        self,
        domain: Domain,
        encoder: Encoder,
        actions: Actions,
        clock: Clock,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        """`run` runs a blocking function in the pool and gives its result."""
        self.domain = domain
        self._machine = FlowMachine(domain)
        self._knowledge = KnowledgeBase(domain.facts, encoder, domain.manner.knowledge)
        self._actions = actions
        self._clock = clock
        self._run = run
        self._phrases = fixed_phrases(domain)

    def new_call(self, call_id: str, caller: str | None = None) -> CallDialogue:
        """The dialogue of one call; `call_id` goes into idempotency keys."""
        return CallDialogue(
            self.domain,
            self._machine,
            self._knowledge,
            self._actions.for_call(call_id),
            self._clock,
            self._run,
            self._phrases,
            caller,
        )

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Every sentence of the domain without a variable part, with its tone, the greeting first."""
        return list(self._phrases)


def fixed_phrases(domain: Domain) -> list[tuple[str, Tone]]:
    """Sentences of `domain` that never vary; `{business}` counts as fixed."""
    found: dict[tuple[str, Tone], None] = {}
    for phrase in fixed_texts(domain):
        for text in phrase.text:
            for sentence in sentences(text.replace("{business}", domain.manner.business)):
                if not holes(sentence):
                    found[sentence, phrase.tone] = None
    found |= {(domain.manner.offer, "warm"): None}
    return list(found)
