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
from agent.dialogue.saving import Keeper, MemoryKeeper
from agent.dialogue.text import holes, sentences
from agent.dialogue.tongue import tongue_of
from agent.dialogue.writing.contracts import Writer
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
        writer: Writer | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        """`run` runs a blocking function in the pool and gives its result.

        writer: a language model's words, where one is used. keeper: where dialogues of dropped calls are
        kept; by default in this process.
        """
        self.domain = domain
        spoken = {domain.manner.language: domain, **domain.localized}
        self._tongues = {language: tongue_of(one, knowledge_of(one, encoder)) for language, one in spoken.items()}
        self._actions = actions
        self._clock = clock
        self._run = run
        self._writer = writer
        self._keeper = keeper or MemoryKeeper(clock)
        self._phrases = [phrase for one in spoken.values() for phrase in fixed_phrases(one)]

    def new_call(self, call_id: str, caller: str | None = None) -> CallDialogue:
        """The dialogue of one call; `call_id` goes into idempotency keys."""
        return CallDialogue(
            self._tongues,
            self.domain.manner.language,
            self._actions.for_call(call_id, caller, self.domain.manner.language),
            self._clock,
            self._run,
            self._phrases,
            caller,
            self._writer,
            self._keeper,
        )

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Every sentence of the domain without a variable part, with its tone, the greeting first."""
        return list(self._phrases)


def knowledge_of(domain: Domain, encoder: Encoder) -> KnowledgeBase:
    """The index of a domain's sections."""
    return KnowledgeBase(domain.facts, encoder, domain.manner.knowledge)


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
