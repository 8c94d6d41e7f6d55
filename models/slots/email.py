"""E-mail addresses, written, spoken ("jane dot doe at example dot com") or spelled."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.contracts import Slot
from models.slots.numbers import DIGITS, below_hundred
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import FILLERS, Token, tokenize

_WRITTEN = re.compile(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_SIGNS = {
    "dot": ".",
    "period": ".",
    "point": ".",
    "underscore": "_",
    "dash": "-",
    "hyphen": "-",
    "minus": "-",
    "plus": "+",
}
_LEAD_IN = frozenset(
    {
        "is", "it's", "its", "my", "email", "e-mail", "mail", "address", "the", "a", "an", "that's", "to",
        "use", "as", "was", "yes", "yeah", "sure", "and", "okay", "ok", "so", "at", "send", "me", "you", "can",
        "on", "be", "would", "for", "in", "of", "name", "contact", "reach", "with", "this", "sorry", "no", "it",
        "mine", "i'm", "i", "have", "not", "his", "her", "our",
    }
)  # fmt: skip
_PROVIDERS = frozenset({"gmail", "yahoo", "hotmail", "outlook", "icloud", "aol"})
_LONGEST_LOCAL = 24


def _between(text: str, left: Token, right: Token) -> str:
    """The sign that stands between two tokens without spaces: `.`, `-` or nothing."""
    gap = text[left.end : right.start]
    return gap if gap in {".", "-"} else ""


def _piece(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    """What token `at` adds to an address: (characters, next token)."""
    word = tokens[at].text
    if word in _SIGNS:
        return _SIGNS[word], at + 1
    if word in {"_", "+"}:
        return word, at + 1
    if len(word) == 1 and at + 2 < len(tokens):
        # "m as in mary", "b for bravo"
        if tokens[at + 1].text == "as" and at + 3 < len(tokens) and tokens[at + 2].text == "in":
            return word, at + 4
        if tokens[at + 1].text in {"for", "like"} and tokens[at + 2].text.startswith(word):
            return word, at + 3
    if word == "double" and at + 1 < len(tokens) and (len(tokens[at + 1].text) == 1 or tokens[at + 1].text in DIGITS):
        again = tokens[at + 1].text
        return (str(DIGITS[again]) if again in DIGITS and len(again) > 1 else again) * 2, at + 2
    number = below_hundred(tokens, at) if word != "o" else None
    if number is not None:
        return str(number[0]), number[1]
    return word.replace("'", ""), at + 1


def _join(text: str, tokens: Sequence[Token], first: int, last: int) -> str:
    out, at = "", first
    while at < last:
        if tokens[at].text in FILLERS:
            at += 1
            continue
        if at > first:
            out += _between(text, tokens[at - 1], tokens[at])
        piece, at = _piece(tokens, at)
        out += piece
    return out


def _local_start(text: str, tokens: Sequence[Token], at_sign: int, expected: bool) -> int:
    """The first token of the part before the at sign."""
    start = at_sign
    while start > 0 and at_sign - start < _LONGEST_LOCAL:
        word = tokens[start - 1].text
        following = tokens[start].text if start < at_sign else ""
        glued = start < at_sign and text[tokens[start - 1].end : tokens[start].start] in {"", ".", "-", "_"}
        sign = word in _SIGNS or word in {"_", "+"} or following in _SIGNS or following in {"_", "+"}
        spelled = len(word) == 1 or word in DIGITS
        as_in = word in {"as", "in", "for", "like"} or (following in {"as", "in", "for", "like"})
        if start == at_sign:
            if word in _LEAD_IN and not spelled:
                break
        elif not (glued or sign or spelled or as_in or following.isdecimal() or following in DIGITS or word in FILLERS):
            # Two plain words side by side are one name only where an address was asked for ("jane doe at ...").
            if not expected or word in _LEAD_IN:
                break
        elif word in _LEAD_IN and not (spelled or sign or as_in):
            break
        start -= 1
    while (
        start < at_sign
        and tokens[start].text in FILLERS | {"i", "a"}
        and tokens[start + 1].text not in _SIGNS
        and (tokens[start].text in FILLERS or len(tokens[start + 1].text) > 1)
    ):
        start += 1
    return start


def _domain_end(text: str, tokens: Sequence[Token], first: int) -> tuple[str, int, float] | None:
    """(domain, next token, confidence) of the part after the at sign."""
    labels: list[str] = []
    at, current, confidence = first, "", 1.0
    while at < len(tokens) and at - first < 14:
        word = tokens[at].text
        glued_dot = at > first and text[tokens[at - 1].end : tokens[at].start] == "."
        if word in FILLERS:
            at += 1
            continue
        if word in {"dot", "period", "point"} or glued_dot:
            labels, current = [*labels, current], ""
            if not glued_dot:
                at += 1
                continue
        elif word in {"dash", "hyphen"}:
            current, at = current + "-", at + 1
            continue
        elif current and not (len(word) == 1 or current.endswith("-") or len(tokens[at - 1].text) == 1):
            if labels:
                break
            if not any(token.text in {"dot", "period", "point"} for token in tokens[at : at + 3]):
                break
        elif labels and len(current) >= 2 and len(word) > 1:
            break
        current, at = current + word.replace("'", ""), at + 1
    labels = [*labels, current]
    if len(labels) == 1 and labels[0] in _PROVIDERS:
        labels, confidence = [labels[0], "com"], 0.6
    if len(labels) < 2 or not all(labels) or not labels[-1].isalpha() or not 2 <= len(labels[-1]) <= 12:
        return None
    return ".".join(labels), at, confidence


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Addresses in lower case, without spaces."""
    found = [Slot(spec.name, m.group().lower(), m.group(), m.span()) for m in _WRITTEN.finditer(text)]
    tokens = tokenize(text)
    expected = spec.name in context.expected
    for at, token in enumerate(tokens):
        if token.text not in {"at", "@"} or any(low <= token.start < high for low, high in (s.span for s in found)):
            continue
        domain = _domain_end(text, tokens, at + 1)
        if domain is None:
            continue
        start = _local_start(text, tokens, at, expected)
        local = _join(text, tokens, start, at)
        if not re.fullmatch(r"[a-z0-9](?:[\w.+-]*[a-z0-9_])?", local):
            continue
        span = tokens[start].start, tokens[domain[1] - 1].end
        found.append(Slot(spec.name, f"{local}@{domain[0]}", text[span[0] : span[1]], span, domain[2] * 0.9))
    return sorted(found, key=lambda slot: slot.span)
