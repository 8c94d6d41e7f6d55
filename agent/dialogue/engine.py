"""The dialogue of a domain, ready for calls: built once, then one `CallDialogue` a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.dialogue.actions import Actions
from agent.dialogue.call import CallDialogue
from agent.dialogue.domain import Domain
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.knowledge.opening import cache_of
from agent.dialogue.knowledge.watch import LiveKnowledge
from agent.dialogue.loader import fixed_texts
from agent.dialogue.lookup import History
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
        languages: tuple[str, ...] | None = None,
        cache: Path | None = None,
        history: History | None = None,
    ) -> None:
        """`run` runs a blocking function in the pool and gives its result.

        writer: a language model's words, where one is used. keeper: where dialogues of dropped calls are kept; by
        default in this process. languages: those to be spoken; by default all of the domain's. cache: the folder for
        vectors of knowledge files; None keeps none. history: the last calls of a number.
        """
        self.domain = domain
        first = domain.manner.language
        spoken = {first: domain, **domain.localized}
        wanted = spoken if languages is None else {name: spoken[name] for name in spoken if name in (first, *languages)}
        makers = {name: partial(knowledge_of, one, encoder, cache) for name, one in wanted.items()}
        # that of other languages is indexed by the first question in them: a start does not wait for it
        self._knowledge = {
            name: LiveKnowledge(make() if name == first else make, len(wanted[name].facts))
            for name, make in makers.items()
        }
        self._tongues = {name: tongue_of(one, self._knowledge[name]) for name, one in wanted.items()}
        self._actions = actions
        self._clock = clock
        self._run = run
        self._writer = writer
        self._keeper = keeper or MemoryKeeper(clock)
        self._history = history
        self._phrases = {name: fixed_phrases(one) for name, one in wanted.items()}

    @property
    def knowledge(self) -> Mapping[str, LiveKnowledge]:
        """What questions are answered from, by language; each may be exchanged while calls run."""
        return self._knowledge

    def new_call(self, call_id: str, caller: str | None = None) -> CallDialogue:
        """The dialogue of one call; `call_id` goes into idempotency keys."""
        return CallDialogue(
            self._tongues,
            self.domain.manner.language,
            self._actions.for_call(call_id, caller, self.domain.manner.language),
            self._clock,
            self._run,
            self.fixed_phrases(),
            caller,
            self._writer,
            self._keeper,
            self._history,
        )

    def fixed_phrases(self, language: str | None = None) -> list[tuple[str, Tone]]:
        """Every sentence without a variable part, with its tone, greeting first; of the first language by default."""
        return list(self._phrases[language or self.domain.manner.language])


def knowledge_of(domain: Domain, encoder: Encoder, cache: Path | None) -> KnowledgeBase:
    """The index of a domain's sections and graph; `cache` is the folder for vectors, None keeps none."""
    where = cache_of(domain.folder, cache) if domain.folder is not None else None
    return KnowledgeBase(domain.facts, encoder, domain.manner.knowledge, domain.graph, where)


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
