"""Values in recognized text: order numbers, money, days, addresses and the rest, normalised, with their spans."""

from models.slots.find import SLOT_TYPES, find_slots, slot_specs
from models.slots.spec import SlotContext, SlotError, SlotSpec

__all__ = ["SLOT_TYPES", "SlotContext", "SlotError", "SlotSpec", "find_slots", "slot_specs"]
