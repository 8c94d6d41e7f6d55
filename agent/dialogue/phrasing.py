"""Where a language model may put the dialogue's words: answers from sections, other wordings, questions, summaries.

Everything has a way out that needs no model: the extract of the section, the template, the rule-made paragraph.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent.dialogue.contracts import Part, Say
from agent.dialogue.knowledge import Found
from agent.dialogue.state import CallState
from agent.dialogue.text import sentences
from agent.dialogue.writing.contracts import Line, Passage, Use, Writer

PRIVATE = ("name", "first_name", "last_name", "address", "birth_date", "phone", "email", "postcode")
"""Slots and fields of a customer that an outside model must not see."""


class Phrasing:
    """The words of one call's answers; `writer` None leaves everything to the domain's own texts."""

    def __init__(self, writer: Writer | None) -> None:
        self._writer = writer

    @property
    def writer(self) -> Writer | None:
        """The model's words, where one is configured."""
        return self._writer

    def does(self, use: Use) -> bool:
        """Whether a model is asked for this."""
        return self._writer is not None and self._writer.does(use)

    async def answer(
        self, question: str, found: Found, state: CallState, language: str, facts: dict[str, Any]
    ) -> AsyncGenerator[str, None]:
        """The answer to `question` from the section found, sentence by sentence; the graph's answers stay as they are.

        `facts` is told who worded it.
        """
        extract = sentences(found.answer)
        if self._writer is None or found.graph or not self.does("answer"):
            for text in extract:
                yield text
            return
        written = self._writer.answer(
            question, [found.fact], extract, language=language, history=lines_of(state), private=private_of(state)
        )
        wording: list[str] = []
        async with aclosing(written) as stream:
            async for one in stream:
                wording.append(one.by if one.reason is None else f"{one.by}: {one.reason}")
                yield one.text
        facts["worded_by"] = wording

    async def instructed(
        self,
        instructions: Sequence[str],
        planned: Sequence[str],
        question: str,
        sections: Sequence[Passage],
        state: CallState,
        language: str,
        why: list[str],
    ) -> AsyncGenerator[str, None]:
        """What is said in place of `planned` by instructions of staff; nothing, and why in `why`, where that fails."""
        if self._writer is None:
            why.append("none")
            return
        written = self._writer.follow(
            instructions,
            planned,
            question,
            sections,
            language=language,
            history=lines_of(state),
            private=private_of(state),
        )
        async with aclosing(written) as stream:
            async for one in stream:
                if one.reason is not None:
                    why.append(one.reason)
                else:
                    yield one.text

    async def reworded(self, parts: Sequence[Part], state: CallState, language: str) -> list[Part]:
        """The parts with the domain's sentences in other words; what must be heard is said as it is written."""
        said = [part for part in parts if isinstance(part, Say) and not part.must_hear]
        if self._writer is None or not said or not self.does("rephrase"):
            return list(parts)
        wanted = await self._writer.rephrase(
            [say.text for say in said],
            tone=said[0].tone,
            language=language,
            avoid=[text for who, text in state.history if who == "agent"][-4:],
            private=private_of(state),
        )
        if len(wanted) != len(said):
            first = said[0]
            whole = [replace(first, text=text) for text in wanted]
            rest = [part for part in parts if part not in said]
            at = next(n for n, part in enumerate(parts) if part is first)
            return [*rest[:at], *whole, *rest[at:]]
        words = iter(wanted)
        return [replace(part, text=next(words)) if part in said else part for part in parts]

    async def question(
        self, words: str, options: Sequence[str], parts: Sequence[Part], state: CallState, language: str
    ) -> list[Part]:
        """The question which of `options` the caller meant."""
        said = [part for part in parts if isinstance(part, Say)]
        if self._writer is None or not said or not self.does("clarify"):
            return list(parts)
        template = " ".join(say.text for say in said)
        text = await self._writer.clarify(words, options, template, language=language, private=private_of(state))
        if text == template:
            return list(parts)
        return [replace(said[0], text=text), *(part for part in parts if not isinstance(part, Say))]

    async def paragraph(self, summary: Mapping[str, Any], state: CallState) -> str:
        """The summary's paragraph for a person who takes over."""
        paragraph = str(summary.get("paragraph", ""))
        if self._writer is None or not self.does("summary"):
            return paragraph
        said = [f"{who}: {text}" for who, text in state.history]
        language = str(summary.get("language", "en"))
        return await self._writer.summary([paragraph, *said], paragraph, language=language, private=private_of(state))


def private_of(state: CallState) -> dict[str, str]:
    """Values of this caller that an outside model must not see, by name."""
    found = {
        name: str(known.value) for name, known in state.slots.items() if name in PRIVATE or name in state.sensitive
    }
    found |= {name: str(value) for name, value in (state.customer or {}).items() if name in PRIVATE and value}
    return found


def lines_of(state: CallState) -> list[Line]:
    """What was said in this call, as a writer takes it."""
    return [Line("caller" if who == "caller" else "agent", text) for who, text in state.history]
