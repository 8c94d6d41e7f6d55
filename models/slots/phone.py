"""Telephone numbers, written or spoken, as E.164.

Option: `region` (default US): the country of numbers given without a country code.
"""

from __future__ import annotations

import phonenumbers

from models.contracts import Slot
from models.slots.digits import digit_runs
from models.slots.spec import SlotContext, SlotSpec

_SHORTEST = 8
"""Digits; shorter runs are order numbers, ZIP codes or local numbers that cannot be called from elsewhere."""


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Numbers of a possible length in the region."""
    region = spec.word("region", "US")
    found = []
    for run in digit_runs(text):
        if len(run.digits) < _SHORTEST or " and " in text[run.start : run.end]:
            continue
        start = run.start
        lead = text[:start].rstrip(" (")
        plus = lead.endswith("+") or lead.lower().endswith("plus")
        try:
            number = phonenumbers.parse(("+" if plus else "") + run.digits, region)
        except phonenumbers.NumberParseException:
            continue
        if not phonenumbers.is_possible_number(number):
            continue
        if plus:
            start = len(lead) - (1 if lead.endswith("+") else 4)
        elif start and text[start - 1] == "(":
            start -= 1
        value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        found.append(
            Slot(spec.name, value, text[start : run.end], (start, run.end), 1.0 if len(run.digits) >= 10 else 0.6)
        )
    return found
