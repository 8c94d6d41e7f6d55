"""The agency's fares and names as pure functions; the knowledge files say the same."""

from __future__ import annotations

import difflib
import itertools
import re
from datetime import date, timedelta

from agent.domains.counts import counted
from agent.domains.money import Money
from agent.domains.travel.store import Booking, Leg, Stay
from agent.domains.travel.views import Direction, Trip

CHANGE_FEE = {"standard": 5000, "flex": 0}
"""Cents for a change of date; a light fare cannot be changed."""
BUSY_DAY = 3500
"""Cents more for a flight on a Friday or Sunday."""
CANCEL_FEE = 7500
TAXES = 0.15
"""Part of a light fare that is taxes and comes back in any case."""
SEAT_FEE = {"window": 1200, "aisle": 1200, "front": 2500, "extra legroom": 3900}
BAG_FEE = 4000
MOST_BAGS = 3
COVER = 2900
REFUND_DAYS = 7
TIERS = (("blue", 0), ("silver", 10000), ("gold", 30000))
"""Points from which a tier begins."""
CLOSE_NAME = 0.75
"""Likeness (difflib ratio) from which a name as heard is the one on the booking: one letter in four may differ."""


def direction_of(booking: Booking, direction: Direction | None) -> list[Leg]:
    """The flights out, or those home; one that has no way home has only flights out."""
    back = direction == "return" and any(leg.back for leg in booking.legs)
    return [leg for leg in booking.legs if leg.back == back]


def change_fee(booking: Booking, day: date) -> Money:
    """What moving a flight to `day` costs; nothing where the airline changed the trip first."""
    if booking.changed_by_airline:
        return Money(minor=0)
    return Money(minor=CHANGE_FEE.get(booking.fare, 0) + (BUSY_DAY if day.weekday() in (4, 6) else 0))


def refund_of(booking: Booking, today: date, called_off: bool) -> tuple[str, Money, Money]:
    """(full | part | taxes, what comes back, the fee) for a cancellation today; `called_off`: a flight is cancelled."""
    free = (
        booking.fare == "flex" or booking.changed_by_airline or called_off or today - booking.booked_on < timedelta(1)
    )
    if free:
        return "full", Money(minor=booking.total), Money(minor=0)
    if booking.fare == "light":
        back = round(booking.total * TAXES)
        return "taxes", Money(minor=back), Money(minor=booking.total - back)
    fee = min(CANCEL_FEE, booking.total)
    return "part", Money(minor=booking.total - fee), Money(minor=fee)


def stay_difference(stay: Stay, nights: int) -> int:
    """Cents more (or, negative, less) for `nights` instead of what is booked."""
    return (nights - stay.nights) * stay.night


def trip_of(booking: Booking, today: date) -> Trip:
    """A booking as the agent speaks of it."""
    out, back = direction_of(booking, "outward"), [leg for leg in booking.legs if leg.back]
    first, stay = (out[0] if out else None), booking.stay
    state = booking.status if booking.status != "confirmed" else "both" if first and stay else "hotel"
    if booking.status == "confirmed" and first and not stay:
        state = "flight"
    trip = Trip(
        found=True,
        reference=booking.reference,
        state=state,
        fare=booking.fare,
        seat=booking.seat,
        bags=booking.bags,
        bags_spoken=counted(booking.bags, "checked bag"),
        checked_in=booking.checked_in,
        changed_by_airline=booking.changed_by_airline,
        covered=booking.covered,
        assistance=booking.assistance,
        offer_cover=state in ("flight", "both") and not booking.covered and booking.fare == "standard"
        and first is not None and first.day - today > timedelta(days=3),
    )  # fmt: skip
    if first:
        trip.way = f"{first.route.origin} to {out[-1].route.destination}"
        trip.number, trip.airline, trip.day = first.number, first.route.airline, first.day
        trip.departs, trip.arrives = first.route.departs, out[-1].route.arrives
    if back:
        trip.round_trip, trip.back_day, trip.back_departs = True, back[0].day, back[0].route.departs
    if stay:
        trip.hotel, trip.city, trip.arrival, trip.nights = stay.hotel, stay.city, stay.arrival, stay.nights
        trip.has_hotel, trip.nights_spoken = booking.status == "confirmed", counted(stay.nights, "night")
        trip.fixed_rate = not stay.flexible
    seat = f"Your seat is {seat_spoken(booking.seat)}" if booking.seat else "No seat is chosen yet"
    trip.extras = f"{seat}, and you have {trip.bags_spoken}."
    trip.begun = booking.status != "cancelled" and any(leg.day <= today for leg in booking.legs)
    return trip


def later(time: str, minutes: int) -> str:
    """The time of day `minutes` after "HH:MM"."""
    total = (int(time[:2]) * 60 + int(time[3:]) + minutes) % 1440
    return f"{total // 60:02d}:{total % 60:02d}"


def seat_spoken(seat: str) -> str:
    """A kind of seat inside a sentence: "a window seat", "a seat with extra legroom"."""
    return {"extra legroom": "a seat with extra legroom", "front": "a seat in the front", "aisle": "an aisle seat"}.get(
        seat, f"a {seat} seat"
    )


def same_name(said: str, name: str) -> bool:
    """Whether `said`, as heard, holds `name`: as a word near it, or spelled letter by letter."""
    words = re.findall(r"[a-z]+", said.lower().replace("'", ""))
    letters = "".join(word for word in words if len(word) == 1)
    heard = [*words, *("".join(pair) for pair in itertools.pairwise(words)), letters]
    target = name.lower()
    return any(
        difflib.SequenceMatcher(None, word, target).ratio() >= CLOSE_NAME
        for word in heard
        if len(word) >= len(target) - 2
    )
