"""What a person is told of a call before taking it: who, what, what was tried, how the caller feels, in 80 words.

Every sentence names the turns it rests on. Rules make it from the transcript; a language model may word it better, and
each of its sentences must then be borne out by turns too, or the rules' text stays.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.dialogue.phrasing import PRIVATE
from agent.dialogue.reasons import WITHHELD
from agent.dialogue.text import sentences
from agent.dialogue.writing.contracts import Writer
from agent.dialogue.writing.evidence import Evidence, clause, parts
from agent.dialogue.writing.faithful import judge
from agent.dialogue.writing.terms import content_stems, matched
from agent.handoff.contracts import HandoffRequest
from agent.handoff.people import base
from agent.records.redaction import redact

MOST_WORDS = 80
"""What one reads or hears while a telephone rings. Two Chinese characters count as a word."""
LONGEST_QUOTE = 16
"""Words of a caller's own."""
MOST_ROWS = 40
"""Latest turns that a language model is shown."""
MOST_CITED = 5
"""Facts that one sentence may join."""
ANGRY = 0.5
"""Anger from which a briefing speaks of it."""

_DIGITS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine".split())} | {
    "oh": "0"
}
_SPELLED = re.compile(rf"\b(?:{'|'.join(_DIGITS)})(?:[\s-]+(?:{'|'.join(_DIGITS)})){{2,}}\b", re.IGNORECASE)
_ZH_DIGITS = str.maketrans("零一二三四五六七八九", "0123456789")
_CLAUSE = re.compile(r",\s+(I|you|he|she|it|we|they|that|this|the|my|your|his|her|our|their)\b", re.IGNORECASE)
"""Where people begin to say another thing without ending the sentence."""
_TOKEN = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]")

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "who": "The caller is {name} ({proof}).",
        "proven": "verified",
        "unproven": "not verified",
        "wants": "Wish, {intent}: “{quote}”.",
        "said": "The caller's wish: “{quote}”.",
        "gave": "Given: {slots}.",
        "slot": "{name} {value} ({proof})",
        "done": "Done: {actions}.",
        "failed": "Tried without success: {actions}.",
        "told": "The agent last said: “{quote}”.",
        "angry": "Sounded {label} and still does.",
        "calmer": "Sounded {label}, is calmer now.",
        "feels": "Sounds {label}.",
        "last": "Last words: “{quote}”.",
        "joint": ", ",
    },
    "zh": {
        "who": "来电者：{name}（{proof}）。",
        "proven": "已核实",
        "unproven": "未核实",
        "wants": "诉求（{intent}）：“{quote}”。",
        "said": "诉求：“{quote}”。",
        "gave": "已提供：{slots}。",
        "slot": "{name} {value}（{proof}）",
        "done": "已办理：{actions}。",
        "failed": "尝试未成功：{actions}。",
        "told": "客服最后说：“{quote}”。",
        "angry": "情绪：{label}，仍未平复。",
        "calmer": "情绪：曾{label}，现已缓和。",
        "feels": "情绪：{label}。",
        "last": "来电者最后说：“{quote}”。",
        "joint": "，",
    },
}
_LABELS_ZH = {"angry": "生气", "anger": "生气", "sad": "难过", "sadness": "难过", "happy": "高兴", "upset": "不满"}


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence and the turns it rests on, in order; never none."""

    text: str
    turns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a person is told. by: `rules` or `model`."""

    sentences: tuple[Cited, ...] = ()
    by: str = "rules"
    language: str = "en"

    @property
    def text(self) -> str:
        """To be read out."""
        return ("" if self.language == "zh" else " ").join(one.text for one in self.sentences)

    def rows(self) -> list[dict[str, Any]]:
        """JSON-ready."""
        return [{"text": one.text, "turns": list(one.turns)} for one in self.sentences]


def brief(
    rows: Sequence[Mapping[str, Any]],
    *,
    intent: str | None = None,
    slots: Mapping[str, Any] | None = None,
    actions: Sequence[Mapping[str, Any]] = (),
    emotion: Sequence[Mapping[str, Any]] = (),
    language: str = "en",
) -> Briefing:
    """The briefing that rules make; what no turn bears out is left out, and what matters least goes first to fit.

    Args:
        rows: {speaker, text} and, where known, turn; a row without is cited by its index.
        slots, actions, emotion: as in `HandoffRequest`.
    """
    return Briefing(_fit(_Rules(rows, language).all(intent, slots or {}, actions, emotion)), language=_tongue(language))


def brief_request(request: HandoffRequest) -> Briefing:
    """The briefing that rules make for a handoff."""
    return brief(
        request.transcript,
        intent=request.intent,
        slots=request.slots,
        actions=request.actions,
        emotion=request.emotion,
        language=request.language,
    )


async def better(briefing: Briefing, request: HandoffRequest, writer: Writer | None) -> Briefing:
    """`briefing` worded by a model whose every sentence turns bear out; else `briefing` itself."""
    if writer is None or not writer.does("summary") or not briefing.sentences:
        return briefing
    known = [(one.text, one.turns) for one in briefing.sentences]
    known += [
        (f"{'Caller' if row.get('speaker') == 'caller' else 'Agent'}: {row.get('text', '')}", (_number(row, n),))
        for n, row in list(enumerate(request.transcript))[-MOST_ROWS:]
        if row.get("text")
    ]
    private = {name: str(_value(slot)) for name, slot in request.slots.items() if name in PRIVATE}
    text = await writer.summary([fact for fact, _ in known], briefing.text, language=request.language, private=private)
    if text == briefing.text or count_words(text) > MOST_WORDS:
        return briefing
    said = sentences(redact(text))
    cited = await asyncio.to_thread(lambda: [Cited(sentence, cite(sentence, known)) for sentence in said])
    if not cited or not all(one.turns for one in cited):
        return briefing  # a gap misleads
    return Briefing(tuple(cited), "model", briefing.language)


def cite(sentence: str, known: Sequence[tuple[str, Sequence[int]]]) -> tuple[int, ...]:
    """The turns that bear `sentence` out, of facts with their turns: as few facts as have all of it; () where none do.

    A fact is added for as long as it has a word or number of the sentence that the others lack; then all the checks of
    `agent.dialogue.writing.faithful` must pass, and no fact that shares half of its words may deny what it says, or
    the reverse.
    """
    chosen: list[tuple[str, Sequence[int]]] = []
    missing = _marks(sentence)
    known = [(_apart(text), turns) for text, turns in known]
    marks = [_marks(text) for text, _ in known]

    def gain(n: int) -> int:
        return sum(matched(one, marks[n]) for one in missing)

    left = set(range(len(known)))
    while left and len(chosen) < MOST_CITED:
        best = max(sorted(left), key=gain)
        if chosen and not gain(best):
            break
        left.discard(best)
        chosen.append(known[best])
        missing = {one for one in missing if not matched(one, marks[best])}
        evidence = Evidence([_Passage(f"turn {turns[0]}", "caller agent said", text) for text, turns in chosen])
        if judge(sentence, evidence, joins=True).reason is None and not _denied(sentence, evidence):
            return tuple(sorted({turn for _, turns in chosen for turn in turns}))
    return ()


def _apart(text: str) -> str:
    """`text` with a sentence for each thing it says, and with numbers that are spelled out digit by digit."""
    text = _SPELLED.sub(lambda found: "".join(_DIGITS[one] for one in re.findall("[a-z]+", found[0].lower())), text)
    return _CLAUSE.sub(lambda found: f". {found[1].capitalize()}", text)


def _marks(text: str) -> set[str]:
    return {*content_stems(text), *re.findall(r"\d+", text)}


def _denied(sentence: str, evidence: Evidence) -> bool:
    """Whether a clause of the evidence says the reverse; a doubtful one does."""
    for part in parts(sentence):
        own = clause(part)
        for known in evidence.clauses:
            shared = sum(matched(one, known.stems) for one in own.content)
            if own.content and shared >= len(own.content) / 2 and known.denies != own.denies:
                return True
    return False


@dataclass(frozen=True, slots=True)
class _Passage:
    source: str
    heading: str
    text: str


class _Rules:
    """Sentences from a call's rows, each with its turns, and its weight: the least goes first where there are too many
    words."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], language: str) -> None:
        self._rows = [
            (_number(row, n), str(row.get("speaker", "")), str(row.get("text", ""))) for n, row in enumerate(rows)
        ]
        self._keys = [_key(text) for _, _, text in self._rows]
        self._tongue = _tongue(language)
        self._texts = _TEXTS[self._tongue]

    def all(
        self,
        intent: str | None,
        slots: Mapping[str, Any],
        actions: Sequence[Mapping[str, Any]],
        emotion: Sequence[Mapping[str, Any]],
    ) -> list[tuple[int, Cited]]:
        """(weight, sentence) in the order in which they are told."""
        names = {name: slot for name, slot in slots.items() if name == "name" or name.endswith("_name")}
        found: list[tuple[int, Cited | None]] = [(9, self._who(names))]
        wish = self._wish(intent)
        found.append((10, wish))
        found.append((5, self._gave({name: slot for name, slot in slots.items() if name not in names})))
        tried = [(7, self._did("failed", actions, False)), (6, self._did("done", actions, True))]
        found += tried
        if not any(one for _, one in tried):
            found.append((2, self._quote("told", self._last("agent"))))
        found.append((8, self._feels(emotion)))
        last = self._last("caller")
        if last is not None and (wish is None or self._rows[last][0] not in wish.turns):
            found.append((4, self._quote("last", last)))
        return [(weight, one) for weight, one in found if one is not None]

    def _who(self, names: Mapping[str, Any]) -> Cited | None:
        for slot in names.values():
            turns = self._said(_value(slot))
            if turns:
                proof = self._texts["proven" if _verified(slot) else "unproven"]
                return self._cited("who", turns, name=str(_value(slot)), proof=proof)
        return None

    def _wish(self, intent: str | None) -> Cited | None:
        """The caller's turn that has most of the intent's words; else the first of some length."""
        callers = [n for n, (_, speaker, text) in enumerate(self._rows) if speaker == "caller" and text.strip()]
        if not callers:
            return None
        wanted = set(content_stems((intent or "").replace("_", " ")))

        def rank(n: int) -> tuple[int, bool, int]:
            stems = set(content_stems(self._rows[n][2]))
            return (sum(matched(one, stems) for one in wanted), count_words(self._rows[n][2]) >= 4, -n)

        best = max(callers, key=rank)
        spoken = bool(intent) and rank(best)[0] > 0 and self._tongue == "en"
        return self._quote("wants" if spoken else "said", best, intent=(intent or "").replace("_", " "))

    def _gave(self, slots: Mapping[str, Any]) -> Cited | None:
        parts: list[str] = []
        turns: set[int] = set()
        for name, slot in slots.items():
            said = self._said(_value(slot))
            if said and len(parts) < 4:
                proof = self._texts["proven" if _verified(slot) else "unproven"]
                shown = self._texts["slot"].format(name=name.replace("_", " "), value=_value(slot), proof=proof)
                parts.append(shown)
                turns |= said
        return self._cited("gave", turns, slots=self._texts["joint"].join(parts)) if parts else None

    def _did(self, key: str, actions: Sequence[Mapping[str, Any]], ok: bool) -> Cited | None:
        names: list[str] = []
        turns: set[int] = set()
        for action in actions:
            if bool(action.get("ok")) is not ok:
                continue
            at = {int(action["turn"])} if isinstance(action.get("turn"), int) else self._spoken_of(action)
            if at:
                names.append(str(action.get("name", "")).replace("_", " "))
                turns |= at
        listed = list(dict.fromkeys(names))[-3:]
        return self._cited(key, turns, actions=self._texts["joint"].join(listed)) if listed else None

    def _spoken_of(self, action: Mapping[str, Any]) -> set[int]:
        """Turns that have an argument's value, else words of the action's name."""
        arguments = action.get("arguments")
        values = arguments.values() if isinstance(arguments, Mapping) else ()
        turns = {turn for value in values for turn in self._said(value)}
        if turns:
            return turns
        wanted = set(content_stems(str(action.get("name", "")).replace("_", " ")))
        for turn, _, text in self._rows:
            stems = set(content_stems(text))
            if wanted and all(matched(one, stems) for one in wanted):
                turns.add(turn)
        return turns

    def _feels(self, emotion: Sequence[Mapping[str, Any]]) -> Cited | None:
        """How the caller sounded: the angriest turn, and whether that is over; without anger, the last label."""
        known = {turn for turn, speaker, _ in self._rows if speaker == "caller"}
        series = [one for one in emotion if one.get("turn") in known]
        if not series:
            return None
        worst = max(series, key=_anger)
        label = str(worst.get("label") or "angry")
        if _anger(worst) >= ANGRY:
            shown = "angry" if label in ("", "neutral", "anger") else label
            calmer = _anger(series[-1]) < ANGRY
            turns = {int(one["turn"]) for one in series if _anger(one) >= ANGRY}
            turns |= {int(series[-1]["turn"])} if calmer else set()
            return self._cited("calmer" if calmer else "angry", turns, label=self._label(shown))
        felt = [one for one in series if str(one.get("label") or "neutral") != "neutral"]
        if not felt:
            return None
        return self._cited("feels", {int(felt[-1]["turn"])}, label=self._label(str(felt[-1]["label"])))

    def _label(self, label: str) -> str:
        return _LABELS_ZH.get(label, label) if self._tongue == "zh" else label

    def _last(self, speaker: str) -> int | None:
        return next(
            (n for n in reversed(range(len(self._rows))) if self._rows[n][1] == speaker and self._rows[n][2]), None
        )

    def _said(self, value: Any) -> set[int]:
        """Turns in which a value is spoken; "five four three" is 543."""
        key = _key(str(value))
        if not key or redact(str(value)) != str(value) or value == WITHHELD or isinstance(value, bool):
            return set()
        return {self._rows[n][0] for n, known in enumerate(self._keys) if f" {key} " in f" {known} "}

    def _quote(self, key: str, n: int | None, **more: str) -> Cited | None:
        if n is None:
            return None
        turn, _, text = self._rows[n]
        return self._cited(key, {turn}, quote=_shortened(text), **more)

    def _cited(self, key: str, turns: set[int], **values: str) -> Cited:
        return Cited(redact(self._texts[key].format(**values)), tuple(sorted(turns)))


def count_words(text: str) -> int:
    """Words as they are counted here: runs without blanks, two Chinese characters being one."""
    chinese = len(re.findall(r"[\u4e00-\u9fff]", text))
    rest = re.sub(r"[\u4e00-\u9fff，。：；！？（）“”、]", " ", text)
    return len([one for one in rest.split() if re.search(r"\w", one)]) + (chinese + 1) // 2


def _fit(weighted: Sequence[tuple[int, Cited]]) -> tuple[Cited, ...]:
    kept = list(weighted)
    while kept and sum(count_words(one.text) for _, one in kept) > MOST_WORDS:
        kept.remove(min(kept, key=lambda one: one[0]))
    return tuple(one for _, one in kept)


def _shortened(text: str) -> str:
    """At most `LONGEST_QUOTE` words, without the marks of a quotation."""
    plain = re.sub(r"[“”\"]", "", " ".join(text.split())).rstrip(".。")
    if count_words(plain) <= LONGEST_QUOTE:
        return plain
    cut: Callable[[int], str] = (
        (lambda n: plain[: 2 * n]) if re.search(r"[\u4e00-\u9fff]", plain) else (lambda n: " ".join(plain.split()[:n]))
    )
    return cut(LONGEST_QUOTE) + " …"


def _key(text: str) -> str:
    """What two ways of saying one value share: letters and digits alone, spoken digits as digits."""
    plain = text.lower().translate(_ZH_DIGITS)
    tokens = [_DIGITS.get(token, token) for token in _TOKEN.findall(plain)]
    key = ""
    for before, token in zip(["", *tokens], tokens, strict=False):
        digits = token.isdigit() and before[-1:].isdigit()
        key += token if digits else f" {token}"
    return key.strip()


def _number(row: Mapping[str, Any], index: int) -> int:
    turn = row.get("turn")
    return turn if isinstance(turn, int) and not isinstance(turn, bool) else index


def _value(slot: Any) -> Any:
    return slot.get("value") if isinstance(slot, Mapping) else slot


def _verified(slot: Any) -> bool:
    return isinstance(slot, Mapping) and bool(slot.get("verified"))


def _anger(one: Mapping[str, Any]) -> float:
    value = one.get("anger")
    return float(value) if isinstance(value, int | float) else 0.0


def _tongue(language: str) -> str:
    return "zh" if base(language) == "zh" else "en"
