"""Postal addresses, US style, as one line: "14 Birch Street, Apt 6, Portland, Oregon 97201" (commas as recognized).

A house number, a street and a kind of street are found anywhere; where an address was asked for, the whole sentence is
taken once its lead-in is off.
"""

from __future__ import annotations

import re

from models.contracts import Slot
from models.slots.digits import digit_runs
from models.slots.spec import SlotContext, SlotSpec

_STREETS = (
    "street|st|avenue|ave|road|rd|lane|ln|drive|dr|court|ct|boulevard|blvd|way|place|pl|circle|terrace|parkway|pkwy"
    "|highway|square|trail|alley|row|crescent|hill|broadway|plaza|loop"
)
_STREET_AFTER = re.compile(
    rf"\W+(?!(?:of|to|on|is|and|at|in|the|for|days?|weeks?|times?|dollars?)\b)"
    rf"(?:(?!(?:to|is|and|at|for|order|my|the)\b)[A-Za-z0-9'.]+\W+){{0,4}}?(?:{_STREETS})\b\.?",
    re.IGNORECASE,
)
_REST_STOP = re.compile(
    r"\W*(?:[?!;]|[.]\s|\b(?:please|thanks|thank you|instead|if|because|is that|can you|could you|that's|okay"
    r"|and (?:my|the|i|can|it))\b).*$",
    re.IGNORECASE | re.DOTALL,
)
_VERB = r"(?:please\s+)?(?:change|send|ship|deliver|make|put|update|move|use)\s+"
_WHAT = r"(?:it|that|them|the (?:package|order|address)|my order|everything)?\s*(?:to|at)?"
_LEAD_IN = re.compile(
    r"^\W*(?:(?:uh|um|er|well|so|okay|ok|yes|yeah|sure|no|sorry|please|oh|actually)\b\W*)*"
    rf"(?:(?:can|could|would) you\s+)?(?:(?:{_VERB}{_WHAT}"
    r"|(?:it's|its|it is|that's|that is|that would be|it would be|it should (?:be|go to)"
    r"|i live (?:at|on)|i'm (?:at|on)|we're at|i moved to|we moved to"
    r"|(?:the|my|our)\s+(?:new\s+|delivery\s+|shipping\s+|home\s+)*address\s+(?:is|would be|should be))(?:\s+now)?"
    r"|to|at)\b\W*)?",
    re.IGNORECASE,
)
_NOT_AN_ADDRESS = re.compile(
    r"\b(?:i don't|do not|don't know|what|why|when|how|who|where|can i|cancel|person|human|agent|same address"
    r"|never mind|hold on|wait|repeat)\b",
    re.IGNORECASE,
)
_STATES = re.compile(
    r"\W*\b(?:is|isn't|are|aren't|has|hasn't|have|was|wasn't|were|where)\b.*$", re.IGNORECASE | re.DOTALL
)
"""After a street, the rest says something of it: "at 14 Birch Street is out"."""
_ASKS = re.compile(
    r"^\W*(?:(?:and|but|okay|ok|so|uh|um|well|oh)\b\W*)*(?:is|are|do|does|did|will|should|may)\b", re.IGNORECASE
)
"""A question, which is no address although one was asked for."""
_SMALL = frozenset({"of", "the", "and"})
_MAX_LENGTH = 160


def _written(raw: str) -> str:
    """Spoken numbers as figures, words capitalised, spaces tidied."""
    out, last = [], 0
    for run in digit_runs(raw):
        out += [raw[last : run.start], run.digits]
        last = run.end
    tidy = re.sub(r"\s+", " ", "".join([*out, raw[last:]])).strip(" .,;")
    words = [
        word if word.lower() in _SMALL or not word[0].islower() else word[0].upper() + word[1:] for word in tidy.split()
    ]
    return " ".join(words)


def _slot(spec: SlotSpec, text: str, start: int, end: int, confidence: float) -> Slot | None:
    raw = text[start:end].rstrip(" .,;?!")
    raw = raw[:_MAX_LENGTH]
    value = _written(raw)
    return Slot(spec.name, value, raw, (start, start + len(raw)), confidence) if value else None


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """At most one address: the last in `text`."""
    for run in reversed(digit_runs(text)):
        street = _STREET_AFTER.match(text, run.end)
        if street is None or len(run.digits) > 6:
            continue
        stops = (stop for stop in (_REST_STOP.search(text, street.end()), _STATES.search(text, street.end())) if stop)
        slot = _slot(spec, text, run.start, min((stop.start() for stop in stops), default=len(text)), 1.0)
        return [slot] if slot else []
    if spec.name not in context.expected or _NOT_AN_ADDRESS.search(text) or _ASKS.match(text):
        return []
    lead = _LEAD_IN.match(text)
    start = lead.end() if lead else 0
    stop = _REST_STOP.search(text, start + 1) if start + 1 < len(text) else None
    end = stop.start() if stop else len(text)
    words = re.findall(r"[A-Za-z]{2,}", text[start:end])
    if len(words) < 2 or not (digit_runs(text[start:end]) or len(words) >= 3):
        return []
    slot = _slot(spec, text, start, end, 0.6)
    return [slot] if slot else []
