"""Asks the caller at the end of a call how satisfied they are, 1 to 5, by key or in words.

`SurveyedDialogue` stands around any dialogue: where that would say goodbye and hang up, it asks first. The answer is in
the reasons of the turn that thanks for it, `survey: {value, via}`, and so in the records.
"""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.dialogue.contracts import (
    Because,
    CallerTurn,
    Dialogue,
    Expect,
    HangUp,
    Part,
    Say,
)
from agent.dialogue.domain import Domain
from agent.dialogue.inside import AroundDialogue
from agent.dialogue.text import render, sentences
from agent.quality.evidence import SMALL
from agent.quality.satisfaction import HIGHEST, LOWEST
from agent.yamlfile import FileError, YamlFile, explain, read_yaml
from models.contracts import Tone, UnderstandingContext, Understood

SURE = 0.7
"""Confidence from which words that are no answer are another wish, which the dialogue goes on with."""
MOST_WORDS = 8
"""Words of an answer; in a longer sentence a number or a "good" may mean anything."""
ENDINGS = frozenset({"goodbye", "nothing else"})
"""Reasons to hang up for which the caller is still there and was served."""
FILE = "survey.yaml"

Texts = Mapping[str, str]
Via = Literal["key", "words", "declined", "silence", "unclear"]


class SurveySettings(BaseModel):
    """A domain's survey. Texts by language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: bool = False
    least_turns: int = Field(default=2, ge=0, le=100)
    question: Texts = Field(min_length=1)
    again: Texts = Field(min_length=1)
    thanks: Texts = Field(min_length=1)

    @model_validator(mode="after")
    def _same_languages(self) -> SurveySettings:
        for name in ("again", "thanks"):
            if missing := sorted(set(self.question) - set(getattr(self, name))):
                raise ValueError(f"'{name}' has no text in '{missing[0]}', in which 'question' is asked; add it")
        return self


def load_survey(folder: Path, defaults: Path) -> SurveySettings | None:
    """The survey of the domain in `folder`; None where it asks for none. defaults: the file with the usual texts.

    Raises:
        FileError: one of the files is wrong.
    """
    own = folder / FILE
    if not own.is_file():
        return None
    file, usual = read_yaml(own), read_yaml(defaults)
    if not isinstance(file.data, dict):
        raise FileError([f"{own}: is no mapping; write at least 'ask: true'"])
    merged = YamlFile(own, {**usual.data, **file.data}, file.lines)
    try:
        settings = SurveySettings.model_validate(merged.data)
    except ValidationError as error:
        raise FileError(explain(merged, error)) from error
    return settings if settings.ask else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller answered: 1 to 5, or None; `via` says how, or why not."""

    value: int | None
    via: Via


_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5,
    "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5,
}  # fmt: skip
_NO_NUMBER = re.compile(r"\b(?:one|two) (?:more|moment|thing|second|sec|minute|question)s?\b", re.IGNORECASE)
_OUT_OF = re.compile(r"(?:out of|of|/)\s*(?:5|five)\b|(?:满分)?(?:五|5)分(?:里|中|制)", re.IGNORECASE)
_NUMBER = re.compile(
    rf"\b\d+\b|\b(?:{'|'.join(list(_NUMBERS)[:5])})\b|[一二两三四五](?![般点些下会个样直])|\d+", re.IGNORECASE
)
_WORDS: tuple[tuple[int, str], ...] = (
    (1, r"(very|extremely|totally|completely) (unsatisfied|dissatisfied|unhappy|bad|poor)|terrible|awful|horrible"
        r"|(not|n't) (at all )?(satisfied|happy) at all|not at all|worst|(非常|很|太|极)(不满|差|糟)|差极了|糟透"),
    (4, r"\b(not|n't) (too |so )?bad\b|不(差|赖)"),
    (2, r"\b(unsatisfied|dissatisfied|unhappy|bad|poor)\b"
        r"|(not|n't) (very |really |so |too )?(satisfied|happy|good|great)"
        r"|不(太|是很|怎么)?(满意|好|行)|比较差"),
    (5, r"(very|extremely|totally|completely|really) (satisfied|happy|good|pleased)|excellent|perfect|great|amazing"
        r"|(非常|很|十分|特别)(满意|好)|完美|太好了"),
    (3, r"\b(neutral|okay|ok|so so|average|all right|alright|fine)\b|一般|还(行|可以|好)"),
    (4, r"\b(satisfied|happy|good|pleased|well)\b|满意|不错|挺好"),
)  # fmt: skip
"""Words of an answer, the ones that would be mistaken for others first."""
_NO = re.compile(
    r"^\W*(no|nope|no thanks?|no thank you|not now|i('d| would) rather not|skip( it)?|(good)?bye)\b(?!.*\d)"
    r"|^(不了|不用|算了|不要|不想|没空|再见)",
    re.IGNORECASE,
)


def read_answer(text: str, keys: str | None = None) -> Answer | None:
    """What words or pressed keys say; None where they are no answer."""
    if keys is not None:
        digits = keys.strip("*#")
        good = len(digits) == 1 and LOWEST <= int(digits) <= HIGHEST if digits.isdecimal() else False
        return Answer(int(digits), "key") if good else None
    plain = " ".join(text.lower().replace("’", "'").split())
    if not plain or len(plain.split()) > MOST_WORDS or len(plain) > 80:
        return None
    numbers = {_number(match[0]) for match in _NUMBER.finditer(_OUT_OF.sub(" ", _NO_NUMBER.sub(" ", plain)))}
    if len(numbers) == 1:
        value = numbers.pop()
        return Answer(value, "words") if LOWEST <= value <= HIGHEST else None
    if numbers:
        return None
    if _NO.search(plain):
        return Answer(None, "declined")
    value_of = next((value for value, pattern in _WORDS if re.search(pattern, plain)), None)
    return None if value_of is None else Answer(value_of, "words")


def _number(text: str) -> int:
    return _NUMBERS.get(text.lower()) or (int(text) if text.isdecimal() else 0)


def goodbyes(domain: Domain) -> frozenset[str]:
    """The sentences by which a domain says goodbye, in all its languages; those with a part that varies left out."""
    return frozenset(_goodbyes(domain))


def _goodbyes(domain: Domain) -> Iterator[str]:
    for one in (domain, *domain.localized.values()):
        for text in one.manner.phrases["goodbye"].text:
            try:
                yield from sentences(render(text, {"business": one.manner.business, "language": one.manner.language}))
            except (ValueError, KeyError):
                continue


@dataclass
class _State:
    """asked: how often the survey was begun. waiting: for an answer. tries: answers that were none. held: the goodbye
    to say after it, and why the call ends."""

    turns: int = 0
    asked: int = 0
    waiting: bool = False
    tries: int = 0
    held: tuple[Say, ...] = ()
    ending: str = ""
    language: str = "en"


class SurveyedDialogue(AroundDialogue):
    """A dialogue with a survey before its goodbye; implements `agent.dialogue.contracts.Dialogue`."""

    def __init__(self, inner: Dialogue, settings: SurveySettings, goodbye: Collection[str], language: str) -> None:
        """goodbye: the sentences of `goodbyes`. language: what the call begins in."""
        super().__init__(inner)
        self._settings = settings
        self._goodbye = frozenset(goodbye)
        self._state = _State(language=language)

    @property
    def context(self) -> UnderstandingContext:
        """What is waited for now."""
        return UnderstandingContext(language=self._state.language) if self._state.waiting else self._inner.context

    @property
    def sensitive(self) -> bool:
        """Whether what is waited for is neither recorded nor shown."""
        return not self._state.waiting and self._inner.sensitive

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """Answer one turn, or take the answer to the survey."""
        return self._respond(turn, self._state, self._inner.respond)

    def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """What `respond` would answer; changes nothing. Answers to the survey are not foreseen."""
        state = copy.copy(self._state)
        return _nothing() if state.waiting else self._respond(turn, state, self._inner.preview)

    def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
        """As the dialogue inside; a person who has the call ends the survey."""
        self._state.waiting = False
        self._inner.overheard(speaker, text, understood)

    def handed_back(self, who: str, note: str) -> AsyncIterator[Part]:
        """As the dialogue inside."""
        self._state.waiting = False
        return self._inner.handed_back(who, note)

    def snapshot(self) -> Any:
        """The state as it is now."""
        return copy.copy(self._state), self._inner.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Take back a turn that nobody heard the answer of."""
        state, inner = snapshot
        self._state = copy.copy(state)
        self._inner.restore(inner)

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Those of the dialogue inside, and the survey's."""
        texts = (*self._settings.question.values(), *self._settings.again.values(), *self._settings.thanks.values())
        return [*self._inner.fixed_phrases(), *((part, "neutral") for text in texts for part in sentences(text))]

    async def _respond(self, turn: CallerTurn, state: _State, inner: Any) -> AsyncGenerator[Part, None]:
        if turn.language in self._settings.question:
            state.language = turn.language
        if state.waiting:
            answer = Answer(None, "silence") if turn.silence else read_answer(turn.text, turn.dtmf)
            understood = turn.understood
            wish = turn.dtmf is None and understood.intent not in SMALL and understood.confidence >= SURE
            if answer is not None or not wish:
                for part in self._answered(answer, state):
                    yield part
                return
            state.waiting, state.held = False, ()
        state.turns += bool(turn.text.strip()) or turn.dtmf is not None
        held: list[Say] = []
        async with aclosing(inner(turn)) as parts:
            async for part in parts:
                if isinstance(part, Say) and part.text in self._goodbye:
                    held.append(part)
                    continue
                if isinstance(part, HangUp) and self._asks(part, state):
                    for asked in self._ask(part, tuple(held), state):
                        yield asked
                    held = []
                    continue
                if not isinstance(part, Because):
                    for say in held:
                        yield say
                    held = []
                yield part
        for say in held:
            yield say

    def _asks(self, part: HangUp, state: _State) -> bool:
        # Once more after a wish that came in place of an answer.
        return part.reason in ENDINGS and state.turns >= self._settings.least_turns and state.asked < 2

    def _ask(self, part: HangUp, held: tuple[Say, ...], state: _State) -> Iterator[Part]:
        state.asked, state.waiting, state.tries = state.asked + 1, True, 0
        state.held, state.ending = held, part.reason
        spoken = held[0].language if held else state.language
        state.language = spoken if spoken in self._settings.question else state.language
        yield Because({"survey": {"asked": state.asked}})
        yield from self._words(self._settings.question, state)
        yield Expect("yes_no", UnderstandingContext(language=state.language))

    def _answered(self, answer: Answer | None, state: _State) -> Iterator[Part]:
        if answer is None and state.tries == 0:
            state.tries = 1
            yield Because({"rule": None, "decision": "survey", "survey": {"asked": state.asked}})
            yield from self._words(self._settings.again, state)
            yield Expect("yes_no", UnderstandingContext(language=state.language))
            return
        state.waiting = False
        given = answer or Answer(None, "unclear")
        yield Because({"rule": None, "decision": "survey", "survey": {"value": given.value, "via": given.via}})
        if given.value is not None:
            yield from self._words(self._settings.thanks, state)
        yield from state.held
        if given.value is None and not state.held:
            yield from self._words(self._settings.thanks, state)
        yield HangUp(state.ending)

    def _words(self, texts: Texts, state: _State) -> Iterator[Say]:
        text = texts.get(state.language) or next(iter(texts.values()))
        gain = state.held[0].gain_db if state.held else 0.0
        for part in sentences(text):
            yield Say(part, gain_db=gain, language=state.language)


async def _nothing() -> AsyncGenerator[Part, None]:
    nothing: tuple[Part, ...] = ()
    for part in nothing:
        yield part
