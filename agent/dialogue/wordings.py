"""A domain's phrases and templates as sentences, with the values that a call knows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from agent.dialogue.contracts import Say
from agent.dialogue.domain import Domain
from agent.dialogue.state import CallState
from agent.dialogue.text import render, sentences
from agent.dialogue.written import Phrase
from models.contracts import Tone


class Wordings:
    """Words of a domain."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def phrase(self, state: CallState, name: str, today: date, /, **scope: Any) -> list[Say]:
        """The phrase `name`, its wordings in turn."""
        return self.worded(state, name, self._domain.manner.phrases[name], today, **scope)

    def worded(self, state: CallState, name: str, phrase: Phrase, today: date, /, **scope: Any) -> list[Say]:
        """The sentences of the next wording of `phrase`; `name` counts which came last."""
        count = state.spoken.get(name, 0)
        state.spoken[name] = count + 1
        said = phrase.text[count % len(phrase.text)]
        return self.says(said, phrase.tone, self.scope(state, today) | scope, optional=phrase.optional)

    def scope(self, state: CallState, today: date) -> dict[str, Any]:
        """Every value a template or argument may name."""
        manner = self._domain.manner
        scope: dict[str, Any] = {"business": manner.business, "today": today, "language": manner.language}
        scope |= {name: known.value for name, known in state.slots.items()}
        if state.customer is not None:
            scope["customer"] = state.customer
        if state.frame is not None:
            frame = state.frame
            scope |= {"words": frame.words, "given": frame.wrong} | frame.results
        return scope

    @staticmethod
    def says(
        template: str, tone: Tone, scope: Mapping[str, Any], must_hear: bool = False, optional: bool = False
    ) -> list[Say]:
        """The sentences of `template`, its holes filled from `scope`.

        Raises:
            ValueError: a value is missing or does not suit its format.
        """
        return [Say(text, tone, must_hear, optional=optional) for text in sentences(render(template, scope))]
