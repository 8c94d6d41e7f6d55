"""What a question mentions of a graph: things, kinds, properties, wishes and the words that carry nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from agent.dialogue.knowledge.graph.model import Bound, Graph
from agent.dialogue.knowledge.terms import normal, pieces
from agent.dialogue.text import STOP_WORDS
from models.slots.numbers import cardinal
from models.slots.tokens import Token

Sort = Literal["entity", "type", "property", "least", "most", "zero", "relation", "value", "number", "no", "compare",
               "pronoun", "filler"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mention:
    """Pieces [start, end) of a question mean `key`. value: of a text or list property; bound and number: of a wish.

    weak: words such as "how much" and "have", which mean little of themselves.
    """

    start: int
    end: int
    sort: Sort
    key: str = ""
    value: str = ""
    bound: Bound | None = None
    number: Decimal | None = None
    weak: bool = False


_WORDS: dict[Sort, str] = {
    "no": "no|without|not|isnt|arent|doesnt|dont|none|free of|没有|没|无|不带|不含|不包括|不需要|不用|不收|不",
    "compare": "difference|differences|different|differ|compare|compared|comparison|versus|vs|区别|不同|比较|对比|差别",
    "pronoun": "it|its|that|this|they|them|those|these|one|ones|that one|this one|which one|它|它们|这个|那个|这款|那款"
    "|这些|那些|这|那",
    "filler": "which|sell|offer|offers|carry|kind|kinds|type|types|sort|sorts|option|options|available|give|gives"
    "|looking|look|find|show|say|mean|wonder|wondering|curious|okay|ok|yes|well|right|also|both|between|among|much|than"
    "|or|but|um|er|hey|maybe|exactly|actually|really|now|one of|out of|whats|hows|it is|thing|things|am|go|going|think"
    "|thinking|being|because|with|at all|together|per|among them|all"
    "|有没有|是不是|能不能|可不可以|要不要|会不会|请问|我|想|要|你|你们|您|的|吗|呢|吧|啊|了|是|有|哪|哪个|哪些|哪种|哪款|哪一个"
    "|什么|怎么|怎样|一个|一款|款|种|个|张|可以|能|会|和|跟|与|比|还是|或|或者|之间|里|里面|知道|告诉|一下|帮|看|在|那么|呀|哦"
    "|嗯|都|需要|用|带|介绍|问|买|给|想要|我们|最|更|多少|家|这里|请",
}
_BOUNDS: dict[Bound, str] = {
    "at_most": "under|below|less than|at most|up to|no more than|not more than|within|cheaper than|fewer than|max"
    "|低于|少于|不超过|不到|最多|小于",
    "at_least": "over|above|more than|at least|from|no less than|minimum|高于|超过|至少|大于|多于|不少于|起码",
}
_AFTER: dict[Bound, str] = {"at_most": "or less|at most|max|以下|以内|之内", "at_least": "or more|at least|and up|以上"}
_MONEY = frozenset("$ € £ ¥ dollar buck usd euro pound 元 块 美".split())
_HAN = dict(
    zip("零一二三四五六七八九十两百千万", (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 100, 1000, 10_000), strict=True)
)
_FIGURE = re.compile(r"\d+(?:\.\d+)?$")


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(normal(piece) for piece in pieces(text))


class Lexicon:
    """Finds mentions of one graph. Built once; `mentions` is quick and pure."""

    def __init__(self, graph: Graph) -> None:
        self._phrases: dict[tuple[str, ...], list[Mention]] = defaultdict(list)
        self._units: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._before: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._money = [name for name, spec in graph.properties.items() if spec.kind == "money"]
        self._bounds = {_phrase(text): bound for bound, texts in _BOUNDS.items() for text in texts.split("|")}
        self._after = {_phrase(text): bound for bound, texts in _AFTER.items() for text in texts.split("|")}
        for name, entity in graph.entities.items():
            self._add("entity", name, entity.names)
            for key, value in entity.values.items():
                if isinstance(value, str):
                    self._add("value", key, (value,), value)
                elif isinstance(value, tuple):
                    for item in value:
                        self._add("value", key, (item, *(item.split() if " " in item else ())), item)
        for name, kind in graph.types.items():
            self._add("type", name, kind.words)
        for name, spec in graph.properties.items():
            self._add("property", name, spec.words)
            extremes: tuple[tuple[Sort, tuple[str, ...]], ...] = (
                ("least", spec.least.words if spec.least else ()),
                ("most", spec.most.words if spec.most else ()),
                ("zero", spec.zero.words if spec.zero else ()),
            )
            for sort, words in extremes:
                self._add(sort, name, words)
            for word in spec.unit:
                self._units[_phrase(word)].append(name)
            for word in spec.before:
                self._before[_phrase(word)].append(name)
        for name, relation in graph.relations.items():
            self._add("relation", name, relation.words)
        for sort, texts in _WORDS.items():
            own = tuple(texts.split("|")) + (graph.ignore if sort == "filler" else ())
            for text in own:
                self._fill(sort, _phrase(text))
        for stop in STOP_WORDS:
            self._fill("filler", (normal(stop),))
        self._longest = max((len(phrase) for phrase in self._phrases), default=0)

    def _add(self, sort: Sort, key: str, texts: Sequence[str], value: str = "") -> None:
        for text in texts:
            phrase = _phrase(text)
            weak = phrase[:1] == ("how",) or text.startswith("多少")
            if sort == "relation":
                weak = all(piece in STOP_WORDS for piece in pieces(text))
            mention = Mention(0, 0, sort, key, value, weak=weak)
            if phrase and mention not in self._phrases[phrase]:
                self._phrases[phrase].append(mention)

    def _fill(self, sort: Sort, phrase: tuple[str, ...]) -> None:
        """A word of ours, unless the graph gives it a meaning of its own."""
        if not self._phrases.get(phrase):
            self._phrases[phrase].append(Mention(0, 0, sort))

    def entities_in(self, text: str) -> list[str]:
        """Names of the entities that `text` mentions, in their order; ambiguous mentions are left out."""
        found: list[str] = []
        for meanings in self.mentions(text)[0]:
            entities = [mention.key for mention in meanings if mention.sort == "entity"]
            if len(entities) == 1 and entities[0] not in found:
                found += entities
        return found

    def mentions(self, question: str) -> tuple[list[list[Mention]], list[str]]:
        """The meanings of every part of `question` that has any, in order, and the pieces that have none.

        Longer phrases go before shorter ones, and what comes first before what overlaps it.
        """
        raw = pieces(question)
        plain = [normal(piece) for piece in raw]
        candidates = [*self._listed(plain), *self._numbers(raw, plain)]
        candidates.sort(key=lambda meanings: (meanings[0].start - meanings[0].end, meanings[0].start))
        taken = [False] * len(raw)
        chosen: list[list[Mention]] = []
        for meanings in candidates:
            span = slice(meanings[0].start, meanings[0].end)
            if not any(taken[span]):
                taken[span] = [True] * (span.stop - span.start)
                chosen.append(meanings)
        chosen.sort(key=lambda meanings: meanings[0].start)
        return chosen, [piece for piece, used in zip(raw, taken, strict=True) if not used]

    def _listed(self, plain: Sequence[str]) -> Iterator[list[Mention]]:
        for start in range(len(plain)):
            for end in range(start + 1, min(len(plain), start + self._longest) + 1):
                meanings = self._phrases.get(tuple(plain[start:end]))
                if meanings:
                    yield [Mention(start, end, m.sort, m.key, m.value, m.bound, m.number, m.weak) for m in meanings]

    def _numbers(self, raw: Sequence[str], plain: Sequence[str]) -> Iterator[list[Mention]]:
        """Wishes: a number with a unit, after words that mean a property, or after or before a bound."""
        for at in range(len(raw)):
            read = _number(raw, at)
            if read is None:
                continue
            number, end = read
            start, money = at, False
            if at and plain[at - 1] in _MONEY:
                start, money = at - 1, True
            keys: list[str] = []
            for length in (2, 1):
                unit = tuple(plain[end : end + length])
                if not keys and unit in self._units:
                    keys, end = self._units[unit], end + len(unit)
            if not keys and end < len(plain) and plain[end] in _MONEY:
                money, end = True, end + 1
                end += end < len(plain) and plain[end - 1] == "美" and plain[end] == "元"
            bound: Bound | None = None
            for length in (3, 2, 1):
                before, after = tuple(plain[max(0, start - length) : start]), tuple(plain[end : end + length])
                if bound is None and before in self._bounds:
                    bound, start = self._bounds[before], start - length
                elif bound is None and after in self._after:
                    bound, end = self._after[after], end + len(after)
            for length in (3, 2, 1):
                before = tuple(plain[max(0, start - length) : start])
                if before in self._before and (not keys or set(keys) & set(self._before[before])):
                    keys, start = (keys or self._before[before]), start - length
                    break
            if not keys and money:
                keys = self._money
            if keys:
                yield [Mention(start, end, "number", key, bound=bound, number=number) for key in keys]
            elif bound is not None:
                yield [Mention(start, end, "number", "", bound=bound, number=number)]


def _number(raw: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """The number at piece `at`, in figures, English words or Chinese characters: (value, next piece)."""
    figure = raw[at].replace(",", "")
    if _FIGURE.match(figure):
        return Decimal(figure), at + 1
    if raw[at] in _HAN:
        end = at
        while end < len(raw) and raw[end] in _HAN:
            end += 1
        return Decimal(_han(raw[at:end])), end
    words = [Token(piece, n, n) for n, piece in enumerate(raw)]
    read = cardinal(words, at)
    return None if read is None else (Decimal(read[0]), read[1])


def _han(characters: Sequence[str]) -> int:
    """The whole number that Chinese characters write (三百二十 is 320)."""
    total = group = digit = 0
    for character in characters:
        value = _HAN[character]
        if value == 10_000:
            total, group, digit = (total + group + digit) * value, 0, 0
        elif value >= 10:
            group, digit = group + max(1, digit) * value, 0
        else:
            digit = value
    return total + group + digit
