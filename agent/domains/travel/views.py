"""What the agency's actions take and give. Days are ISO dates, times of day local "HH:MM", money in minor units."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

from agent.domains.forms import NewComplaint, Profile
from agent.domains.money import Money

Reference = Field(pattern=r"^\d{6}$")
Direction = Literal["outward", "return"]


class BookingNumber(BaseModel):
    """Names a booking."""

    reference: str = Reference


class Located(BaseModel):
    """Whether there is such a booking; `state` is open or locked (too many wrong proofs)."""

    found: bool
    reference: str = ""
    state: str = ""


class Proof(BookingNumber):
    """Something only the traveller knows: the date of birth, or else the last name in his own words."""

    birth_date: date | None = None
    last_name: str | None = Field(default=None, max_length=200)


class Traveller(BaseModel):
    """The traveller a proof was right for. outcome: proven, wrong or locked."""

    outcome: str
    proven: bool = False
    customer_id: int = 0
    name: str = ""
    tier: str = ""


class Trip(BaseModel):
    """A booking as the agent speaks of it; everything but `found` is empty where it is not this caller's.

    state: flight, hotel, both, cancelled or flown. `way` is "Denver to Seattle", `back_day` the way home, `extras` a
    sentence about seat and bags. `begun`: a flight of it is today or behind.
    """

    found: bool
    reference: str = ""
    state: str = ""
    fare: str = ""
    way: str = ""
    number: str = ""
    airline: str = ""
    day: date | None = None
    departs: str = ""
    arrives: str = ""
    round_trip: bool = False
    back_day: date | None = None
    back_departs: str = ""
    hotel: str = ""
    city: str = ""
    arrival: date | None = None
    nights: int = 0
    nights_spoken: str = ""
    has_hotel: bool = False
    fixed_rate: bool = False
    seat: str | None = None
    bags: int = 0
    bags_spoken: str = ""
    extras: str = ""
    begun: bool = False
    checked_in: bool = False
    changed_by_airline: bool = False
    covered: bool = False
    offer_cover: bool = False
    assistance: str | None = None


class FlightOnDay(BaseModel):
    """Names a flight; without a day, today's."""

    flight_number: str = Field(pattern=r"^\d{3}$")
    day: date | None = None


class FlightState(BaseModel):
    """A flight on a day. state: on_time, delayed, cancelled, boarding, landed, scheduled or not_flying."""

    found: bool
    number: str = ""
    state: str = ""
    way: str = ""
    day: date | None = None
    departs: str = ""
    arrives: str = ""
    late_minutes: int = 0
    expected: str = ""
    gate: str = "none"


class NewDay(BookingNumber):
    """Another day for a flight of a booking; without a direction the outward one."""

    day: date
    direction: Direction | None = None


class ChangeQuote(BaseModel):
    """What a change of date costs. outcome: free, fee, not_allowed, full, no_flight, same, order or closed.

    order: the way home would be before the way out.
    """

    outcome: str
    what: str = "your flight"
    day: date | None = None
    number: str = ""
    departs: str = ""
    fee: Money = Money(minor=0)


class FlightChanged(BaseModel):
    """outcome: changed, or why not (as in `ChangeQuote`)."""

    outcome: str
    day: date | None = None
    number: str = ""
    departs: str = ""
    fee: Money = Money(minor=0)


class CancelQuote(BaseModel):
    """What comes back. outcome: full, part, taxes, already or flown."""

    outcome: str
    refund: Money = Money(minor=0)
    fee: Money = Money(minor=0)


class Cancelled(BaseModel):
    """outcome: cancelled, already or flown."""

    outcome: str
    refund: Money = Money(minor=0)
    due_on: date | None = None


class SeatWish(BookingNumber):
    """The kind of seat wanted."""

    seat: Literal["window", "aisle", "front", "extra legroom"]


class SeatQuote(BaseModel):
    """outcome: free, fee, same or closed."""

    outcome: str
    seat: str
    spoken: str = ""
    fee: Money = Money(minor=0)


class BagWish(BookingNumber):
    """How many checked bags to add."""

    bags: int = Field(ge=1, le=3)


class BagQuote(BaseModel):
    """outcome: free, fee, too_many or closed. `more` is "one more bag", `total` how many there are then."""

    outcome: str
    more: str = ""
    total: int = 0
    total_spoken: str = ""
    fee: Money = Money(minor=0)


class CheckIn(BaseModel):
    """outcome: open, done, already, too_early, papers, cancelled or closed. `opens_on` is the day before the flight."""

    outcome: str
    seat: str = ""
    number: str = ""
    day: date | None = None
    departs: str = ""
    opens_on: date | None = None


class Connection(BaseModel):
    """The next flight that gets the traveller there. outcome: offer, none, no_trouble or closed."""

    outcome: str
    number: str = ""
    way: str = ""
    day: date | None = None
    departs: str = ""
    arrives: str = ""


class NewFlight(BookingNumber):
    """The flight to take instead."""

    flight_number: str = Field(pattern=r"^\d{3}$")
    day: date


class Rebooked(BaseModel):
    """outcome: rebooked or full."""

    outcome: str
    number: str = ""
    day: date | None = None
    departs: str = ""


class RefundState(BaseModel):
    """state: requested, approved, sent or none."""

    state: str
    amount: Money = Money(minor=0)
    due_on: date | None = None


class NewStay(BookingNumber):
    """Another arrival and length of a hotel stay."""

    day: date
    nights: int = Field(ge=1, le=30)


class StayQuote(BaseModel):
    """outcome: cheaper, dearer, same, fixed (no change of dates), late or none (no hotel). `difference` is >= 0."""

    outcome: str
    hotel: str = ""
    day: date | None = None
    nights: int = 0
    nights_spoken: str = ""
    difference: Money = Money(minor=0)


class Need(BookingNumber):
    """The help a traveller needs."""

    need: str = Field(max_length=40)


class Done(BaseModel):
    """Something small was done. outcome: done, already or closed."""

    outcome: str
    detail: str = ""


class Points(BaseModel):
    """The loyalty account. `expiring`: the points expire within 60 days."""

    tier: str
    points: int
    spoken: str
    expire_on: date
    expiring: bool
    missing: str = ""
    next_tier: str = ""


class MissingBag(BookingNumber):
    """A bag that did not come."""

    bag: str = Field(max_length=300)


class BagReport(BaseModel):
    """`file` is the number of the search, spoken digit by digit. outcome: opened or already."""

    outcome: str
    file: str


class TravellerProfile(Profile):
    """The same of a traveller; `vip` is the gold tier."""

    vip: bool = False


class BookingComplaint(NewComplaint):
    """`reference` where the caller gave one."""

    reference: str | None = None
