"""The writer: a model that words answers, each sentence checked before it is spoken, and a way out for everything."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

from agent.dialogue.text import sentences as split
from agent.dialogue.writing.acting import act
from agent.dialogue.writing.asking import Asking, Deadlines, TooLate
from agent.dialogue.writing.contracts import (
    ActionTool,
    Count,
    Line,
    Outcome,
    Passage,
    Reason,
    RunAction,
    Use,
    Written,
)
from agent.dialogue.writing.evidence import Evidence
from agent.dialogue.writing.faithful import judge
from agent.dialogue.writing.filter import OutputFilter, standard_filter
from agent.dialogue.writing.instructed import Permitted
from agent.dialogue.writing.orders import without_orders
from agent.dialogue.writing.private import Private
from agent.dialogue.writing.prompts import NOTHING, Prompts
from agent.dialogue.writing.questions import about, is_question, may_ask
from agent.dialogue.writing.tools import Result
from agent.dialogue.writing.wording import asks_only, reworded
from models.contracts import Tone
from models.llm.closing import closing
from models.llm.contracts import Message, ToolCall
from models.llm.errors import LanguageModelError

T = TypeVar("T")

Checked = tuple[Written | None, Reason | None]
"""A sentence that may be said, or why it may not."""

log = logging.getLogger(__name__)

MOST_SENTENCES = 3
"""Of one answer; a caller keeps no more in mind, and can ask on."""


class ModelWriter:
    """Implements `agent.dialogue.writing.contracts.Writer` with a language model."""

    def __init__(
        self,
        asking: Asking,
        *,
        uses: Collection[Use],
        deadlines: Deadlines,
        hide: bool,
        business: str = "",
        persona: str = "",
        filter_: OutputFilter | None = None,
        count: Count = lambda use, outcome, reason: None,
    ) -> None:
        """`hide`: private data is replaced by placeholders before the model sees it. `count` hears every outcome."""
        self._asking = asking
        self._uses = frozenset(uses)
        self._deadlines = deadlines
        self._hide = hide
        self._prompts = Prompts(business, persona)
        self._names = (business, persona.split(",")[0])
        self._filter = filter_ or standard_filter()
        self._count = count

    def does(self, use: Use) -> bool:
        """Whether it is asked for this at all."""
        return use in self._uses

    async def answer(
        self,
        question: str,
        sections: Sequence[Passage],
        extract: Sequence[str],
        *,
        language: str = "en",
        tone: Tone = "neutral",
        history: Sequence[Line] = (),
        private: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Written, None]:
        """Answer from `sections`; see `Writer.answer`."""
        source = sections[0].source if sections else ""
        why: list[Reason] = []
        given = 0
        sections, orders = without_orders(sections) if self.does("answer") else (sections, 0)
        if orders:
            log.warning("%d sentences of %s are orders to a model and were left out", orders, source)
            self._count("answer", "dropped", "orders")
        if sections and self.does("answer"):
            hidden = Private(private, self._hide)
            messages = self._prompts.answer(question, sections, language, tone, history, hidden)
            known = [f"{section.heading} {section.text}" for section in sections]
            evidence: list[Evidence] = []

            def check(sentence: str) -> Checked:
                if not evidence:
                    evidence.append(Evidence(sections, self._names))
                return self._check(sentence, question, evidence[0], known, messages, hidden)

            async with closing(self._spoken("answer", messages, check, why)) as spoken:
                async for written in spoken:
                    given += 1
                    yield written
        if given:
            self._count("answer", "used", "")
            return
        reason: Reason = why[-1] if why else "empty"
        if self.does("answer"):
            self._count("answer", "fallback", reason)
        for sentence in extract:
            yield Written(sentence, "rule", source, reason)

    async def rephrase(
        self,
        sentences: Sequence[str],
        *,
        tone: Tone = "neutral",
        language: str = "en",
        avoid: Sequence[str] = (),
        private: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Say `sentences` in other words; see `Writer.rephrase`."""
        template = " ".join(sentences)
        if not template or not self.does("rephrase"):
            return list(sentences)
        hidden = Private(private, self._hide)
        messages = self._prompts.rephrase(sentences, language, tone, avoid, hidden)
        text, reason = await self._whole(messages, hidden)

        def check() -> Reason | Literal[""]:
            found = reworded(template, text, avoid) or self._filtered(text, sentences, messages)
            return found or self._asking.alike(template, text) or ""

        reason = reason or await self._looked(check)
        return self._outcome("rephrase", reason, split(text), list(sentences))

    async def summary(
        self,
        facts: Sequence[str],
        paragraph: str,
        *,
        language: str = "en",
        private: Mapping[str, str] | None = None,
    ) -> str:
        """Sum `facts` up; see `Writer.summary`. One sentence that is not supported spoils it: a gap misleads."""
        if not facts or not self.does("summary"):
            return paragraph
        hidden = Private(private, self._hide)
        messages = self._prompts.summary(facts, language, hidden)
        text, reason = await self._whole(messages, hidden, work=True)

        def check() -> Reason | Literal[""]:
            evidence = Evidence([Result("summary", SUMMARY_WORDS, "\n".join(facts))], self._names)
            verdicts = [judge(one, evidence, joins=True) for one in Evidence.sentences(text)]
            found = next((verdict.reason for verdict in verdicts if verdict.reason is not None), None)
            return found or self._filtered(text, facts, messages) or ""

        reason = reason or await self._looked(check)
        return self._outcome("summary", reason, text, paragraph)

    async def clarify(
        self,
        words: str,
        options: Sequence[str],
        template: str,
        *,
        language: str = "en",
        private: Mapping[str, str] | None = None,
    ) -> str:
        """Ask which of `options` was meant; see `Writer.clarify`."""
        if not options or not self.does("clarify"):
            return template
        hidden = Private(private, self._hide)
        messages = self._prompts.clarify(words, options, language, hidden)
        text, reason = await self._whole(messages, hidden)

        def check() -> Reason | Literal[""]:
            return asks_only(text, options) or self._filtered(text, options, messages) or ""

        reason = reason or await self._looked(check)
        return self._outcome("clarify", reason, text, template)

    async def act(
        self,
        goal: str,
        history: Sequence[Line],
        tools: Sequence[ActionTool],
        run: RunAction,
        *,
        verified: bool,
        language: str = "en",
        private: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Use `tools` for `goal`; see `Writer.act`."""
        if not self.does("act"):
            return Outcome()
        hidden = Private(private, self._hide)
        messages = self._prompts.act(goal, history, language, hidden)
        outcome = await act(self._asking, self._deadlines.work, messages, tools, run, verified, hidden, language)

        def check() -> tuple[list[str], list[Reason]]:
            evidence = Evidence(outcome.results, self._names)
            known = [one.text for one in outcome.results]
            said = [goal, *about(tools), *(line.text for line in history), *known]
            kept: list[str] = []
            dropped: list[Reason] = []
            for n, sentence in enumerate(outcome.sentences, 1):
                restored = hidden.back(sentence)
                reason: Reason | None = "placeholder"
                if restored is not None and n == len(outcome.sentences) and is_question(restored):
                    reason = may_ask(restored, said) or self._filtered(restored, said, messages)
                elif restored is not None:
                    reason = judge(restored, evidence, joins=True).reason
                    reason = reason or self._filtered(restored, known, messages)
                if restored is None or reason is not None:
                    dropped.append(reason or "placeholder")
                else:
                    kept.append(restored)
            return kept, dropped

        kept, dropped = await self._asking.look(check) or ([], ["busy"])
        for reason in dropped:
            self._count("act", "dropped", reason)
        for _, refusal in outcome.refused:
            self._count("act", "dropped", refusal)
        why = outcome.reason or (None if kept or outcome.proposal else "empty")
        self._count("act", "fallback" if why else "used", why or "")
        return Outcome(outcome.proposal, tuple(kept), outcome.ran, outcome.refused, why)

    async def follow(
        self,
        instructions: Sequence[str],
        planned: Sequence[str],
        question: str,
        sections: Sequence[Passage],
        *,
        language: str = "en",
        tone: Tone = "neutral",
        history: Sequence[Line] = (),
        private: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Written, None]:
        """Answer as staff asks; see `Writer.follow`."""
        why: list[Reason] = []
        given = 0
        if instructions and self.does("instruct"):
            sections, orders = without_orders(sections)
            if orders:
                self._count("instruct", "dropped", "orders")
            hidden = Private(private, self._hide)
            messages = self._prompts.follow(instructions, planned, question, sections, language, tone, history, hidden)
            caller = [
                word for kind, value in (private or {}).items() if "name" in kind for word in value.lower().split()
            ]
            permitted: list[Permitted] = []

            def check(sentence: str) -> Checked:
                if not permitted:
                    permitted.append(Permitted(instructions, planned, sections, history, self._names, caller))
                restored = hidden.back(sentence)
                if restored is None:
                    return None, "placeholder"
                verdict, body = permitted[0].judge(restored)
                reason = verdict.reason or self._filtered(restored, permitted[0].known, messages)
                if body:
                    reason = reason or self._asking.near(body, permitted[0].windows)
                return (None, reason) if reason else (Written(verdict.text, "model", verdict.source), None)

            async with closing(self._spoken("instruct", messages, check, why)) as spoken:
                async for written in spoken:
                    given += 1
                    yield written
                    if is_question(written.text):
                        break
        reason: Reason | None = None if given else why[-1] if why else "empty"
        if self.does("instruct"):
            self._count("instruct", "fallback" if reason else "used", reason or "")
        if reason is not None:
            yield Written("", "rule", reason=reason)

    async def aclose(self) -> None:
        """Close the model."""
        await self._asking.guard.aclose()

    async def _spoken(
        self, use: Use, messages: Sequence[Message], check: Callable[[str], Checked], why: list[Reason]
    ) -> AsyncGenerator[Written, None]:
        """Sentences that pass `check`, the first in time or none. Why others did not, and why it ended: in `why`."""
        until = self._asking.clock.now_ms() + self._deadlines.first_sentence_ms
        async with closing(self._passing(use, messages, check, why)) as passing:
            try:
                first = await self._asking.by(anext(passing, None), until)
            except TooLate:
                first = None
                why.append("first_token")
            if first is not None:
                yield first
                async for written in passing:
                    yield written

    async def _passing(
        self, use: Use, messages: Sequence[Message], check: Callable[[str], Checked], why: list[Reason]
    ) -> AsyncGenerator[Written, None]:
        said: set[str] = set()
        stream = self._asking.sentences(messages, self._deadlines.answer)
        async with closing(stream):
            try:
                async for sentence in stream:
                    if isinstance(sentence, ToolCall):
                        reason: Reason | None = "no_tools"
                        written = None
                    else:
                        if sentence.strip(" .").upper() == NOTHING:
                            why.append("empty")
                            return
                        written, reason = await self._asking.look(partial(check, sentence)) or (None, "busy")
                    if reason is not None:
                        why.append(reason)
                        self._count(use, "dropped", reason)
                    elif written is not None and written.text not in said:
                        said.add(written.text)
                        yield written
                        if len(said) >= MOST_SENTENCES:
                            return
            except LanguageModelError as error:
                why.append(error.code)

    def _check(
        self,
        sentence: str,
        question: str,
        evidence: Evidence,
        known: Sequence[str],
        messages: Sequence[Message],
        private: Private,
    ) -> Checked:
        restored = private.back(sentence)
        if restored is None:
            return None, "placeholder"
        verdict = judge(restored, evidence, question)
        reason = (
            verdict.reason
            or self._filtered(verdict.text, known, messages)
            or self._asking.near(verdict.text, evidence.windows)
        )
        return (None, reason) if reason else (Written(verdict.text, "model", verdict.source), None)

    async def _looked(self, check: Callable[[], Reason | Literal[""]]) -> Reason | None:
        """What a check finds on the pool; a check that could not be done finds that it is busy."""
        found = await self._asking.look(check)
        return "busy" if found is None else found or None

    async def _whole(
        self, messages: Sequence[Message], private: Private, work: bool = False
    ) -> tuple[str, Reason | None]:
        """A whole text with private values put back, or why there is none."""
        limits = self._deadlines.work if work else self._deadlines.wording
        try:
            whole = await self._asking.whole(messages, limits)
        except LanguageModelError as error:
            return "", error.code
        if whole.calls:
            return "", "no_tools"
        text = private.back(whole.text)
        if text is None:
            return "", "placeholder"
        return text, None if text.strip() and text.strip(" .").upper() != NOTHING else "empty"

    def _filtered(self, text: str, known: Sequence[str], messages: Sequence[Message]) -> Reason | None:
        return "filtered" if self._filter.find(text, known, messages[0].content) is not None else None

    def _outcome(self, use: Use, reason: Reason | None, wording: T, way_out: T) -> T:
        self._count(use, "fallback" if reason else "used", reason or "")
        return way_out if reason else wording


SUMMARY_WORDS = "the caller called about asked said wanted wants spoke told agent call number conversation"
"""Words that every summary may use."""
