"""All slots of a text: every declared type's parser, with claims so that no character is two numbers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.contracts import Slot
from models.languages import CHINESE, ENGLISH, base
from models.slots import address, choice, dates, digits, email, money, phone, yes_no
from models.slots.chinese import choice as chinese_choice
from models.slots.chinese import contact as chinese_contact
from models.slots.chinese import dates as chinese_dates
from models.slots.chinese import digits as chinese_digits
from models.slots.chinese import money as chinese_money
from models.slots.chinese import words as chinese_words
from models.slots.chinese import yes_no as chinese_yes_no
from models.slots.spec import SlotContext, SlotError, SlotSpec
from models.slots.tokens import rejected

Parser = Callable[[str, SlotSpec, SlotContext], list[Slot]]

SLOT_TYPES: Mapping[str, Parser] = {
    "email": email.parse,
    "phone": phone.parse,
    "address": address.parse,
    "amount": money.parse,
    "date": dates.parse,
    "digits": digits.parse,
    "choice": choice.parse,
    "yes_no": yes_no.parse,
    "text": lambda text, spec, context: [],
}
"""Every type a domain may declare, in the order in which they claim characters. `text` has no parser: its values are
words that a fine-tuned model takes for one (`models.understanding`)."""

PARSERS: Mapping[str, Mapping[str, Parser]] = {
    ENGLISH: SLOT_TYPES,
    CHINESE: {
        "email": chinese_contact.email,
        "phone": chinese_contact.phone,
        "address": chinese_contact.address,
        "amount": chinese_money.parse,
        "date": chinese_dates.parse,
        "digits": chinese_digits.parse,
        "choice": chinese_choice.parse,
        "yes_no": chinese_yes_no.parse,
        "text": SLOT_TYPES["text"],
    },
}
"""The parsers of each language; a language without its own is read by the English ones."""
_REJECTED = {CHINESE: chinese_words.rejected}

_OPTIONS = {
    "digits": {"min_length", "max_length"},
    "amount": {"currency"},
    "date": {"prefer"},
    "phone": {"region"},
    "choice": {"values"},
}
_NUMERIC = frozenset({"email", "phone", "address", "amount", "date", "digits"})
_ORDER = {name: order for order, name in enumerate(SLOT_TYPES)}


def slot_specs(declared: Mapping[str, Mapping[str, Any]]) -> tuple[SlotSpec, ...]:
    """Read the `slots` section of an intents.yaml: {name: {type: ..., description: ..., option: ...}}.

    Raises:
        SlotError: a type or an option that is not known, or an option with a wrong value; names slot and remedy.
    """
    specs = []
    for name, fields in declared.items():
        kind = fields.get("type")
        if not isinstance(kind, str) or kind not in SLOT_TYPES:
            raise SlotError(f"slot {name!r}: type is {kind!r}; give one of {', '.join(SLOT_TYPES)}")
        options = {key: value for key, value in fields.items() if key not in {"type", "description"}}
        unknown = sorted(set(options) - _OPTIONS.get(kind, set()))
        if unknown:
            known = ", ".join(sorted(_OPTIONS.get(kind, set()))) or "none"
            raise SlotError(f"slot {name!r}: {kind} has no option {', '.join(unknown)}; it has {known}")
        spec = SlotSpec(name, kind, options)
        if kind == "digits" and spec.option("min_length", 1) > spec.option("max_length", 20):
            raise SlotError(f"slot {name!r}: min_length {options['min_length']} is above max_length; swap them")
        specs.append(spec)
    return tuple(specs)


def _overlaps(span: tuple[int, int], claims: Iterable[tuple[int, int]]) -> bool:
    return any(span[0] < high and low < span[1] for low, high in claims)


def _settle(text: str, slots: Sequence[Slot], language: str) -> list[Slot]:
    """Values of one slot, those the caller took back first and with confidence 0; none where nothing else is left."""
    ordered = sorted(slots, key=lambda slot: slot.span)
    flags = _REJECTED.get(language, rejected)(text, [slot.span for slot in ordered])
    kept = [slot for slot, gone in zip(ordered, flags, strict=True) if not gone]
    if not kept:
        return []
    return [replace(slot, confidence=0.0) for slot, gone in zip(ordered, flags, strict=True) if gone] + kept


def find_slots(text: str, specs: Sequence[SlotSpec], context: SlotContext) -> tuple[Slot, ...]:
    """The values in `text` of the declared slots, with spans into `text`.

    A caller who corrects himself leaves both values: the one taken back first, with confidence 0, so the last one of a
    name is the one meant. A slot that is asked for claims its characters before the others; a number inside an e-mail
    address, telephone number, postal address, sum or date is no order number, whether or not the domain declares those.

    Raises:
        SlotError: a spec has a wrong option.
    """
    language = base(context.language)
    parsers = PARSERS.get(language, SLOT_TYPES)
    declared = {spec.type for spec in specs}
    implied = [
        SlotSpec(f"_{kind}", kind) for kind in ("email", "phone", "address", "amount", "date") if kind not in declared
    ]
    queue = sorted([*specs, *implied], key=lambda spec: (spec.name not in context.expected, _ORDER[spec.type]))
    claims: list[tuple[int, int]] = []
    names = {spec.name for spec in specs}
    out: list[Slot] = []
    for spec in queue:
        found = parsers[spec.type](text, spec, context)
        if spec.type in _NUMERIC:
            found = [slot for slot in found if not _overlaps(slot.span, claims)]
            claims += [slot.span for slot in found]
        if spec.name in names:
            out += _settle(text, found, language) if spec.type not in {"yes_no", "address"} else found
    return tuple(out)
