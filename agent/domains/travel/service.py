"""What the agency does beside flights: seats, bags, check-in, hotels, help, points and complaints."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import today
from agent.domains.counts import counted
from agent.domains.forms import Logged, Nothing
from agent.domains.money import Money
from agent.domains.people import spare_client
from agent.domains.travel.ledger import changes, owned
from agent.domains.travel.rules import (
    BAG_FEE,
    COVER,
    MOST_BAGS,
    SEAT_FEE,
    TIERS,
    seat_spoken,
    stay_difference,
)
from agent.domains.travel.store import Booking, Customer, Departure
from agent.domains.travel.views import (
    BagQuote,
    BagReport,
    BagWish,
    BookingComplaint,
    BookingNumber,
    CheckIn,
    Done,
    MissingBag,
    Need,
    NewStay,
    Points,
    SeatQuote,
    SeatWish,
    StayQuote,
)

CHANGE_STAY_DAYS = 2
"""Days before the arrival until which a flexible stay may be changed."""
WARNED_DAYS = 60
"""Days before they expire in which a caller is told that points expire."""


async def quote_seat(backend: Backend, arguments: SeatWish, context: ActionContext) -> SeatQuote:
    """What a seat costs; gold travellers and flex fares pay nothing."""
    async with backend.session() as session:
        return _seat(await owned(session, arguments.reference, context), arguments.seat)


async def choose_seat(backend: Backend, arguments: SeatWish, context: ActionContext) -> SeatQuote:
    """Book a kind of seat."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, SeatQuote):
            return done
        booking = await owned(session, arguments.reference, context)
        quote = _seat(booking, arguments.seat)
        if booking is None or quote.outcome not in ("free", "fee"):
            return quote
        booking.seat = arguments.seat
        booking.total += quote.fee.minor
        return changes.kept(session, context, booking.reference, "seat", arguments, quote)


async def quote_bags(backend: Backend, arguments: BagWish, context: ActionContext) -> BagQuote:
    """What more bags cost; gold travellers have the first one free."""
    async with backend.session() as session:
        return _bags(await owned(session, arguments.reference, context), arguments.bags)


async def add_bags(backend: Backend, arguments: BagWish, context: ActionContext) -> BagQuote:
    """Add checked bags."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, BagQuote):
            return done
        booking = await owned(session, arguments.reference, context)
        quote = _bags(booking, arguments.bags)
        if booking is None or quote.outcome not in ("free", "fee"):
            return quote
        booking.bags = quote.total
        booking.total += quote.fee.minor
        return changes.kept(session, context, booking.reference, "bags", arguments, quote)


async def look_check_in(backend: Backend, arguments: BookingNumber, context: ActionContext) -> CheckIn:
    """Say whether the next flight of a booking can be checked in for."""
    async with backend.session() as session:
        return await _check_in(session, await owned(session, arguments.reference, context), today(context))


async def check_in(backend: Backend, arguments: BookingNumber, context: ActionContext) -> CheckIn:
    """Check a traveller in for a flight today or tomorrow."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, CheckIn):
            return done
        booking = await owned(session, arguments.reference, context)
        result = await _check_in(session, booking, today(context))
        if booking is None or result.outcome != "open":
            return result
        result.outcome, booking.checked_in = "done", True
        return changes.kept(session, context, booking.reference, "check_in", arguments, result)


async def quote_stay(backend: Backend, arguments: NewStay, context: ActionContext) -> StayQuote:
    """What other hotel dates would cost."""
    async with backend.session() as session:
        return _stay(await owned(session, arguments.reference, context), arguments, context)


async def change_stay(backend: Backend, arguments: NewStay, context: ActionContext) -> StayQuote:
    """Move a hotel stay."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, StayQuote):
            return done
        booking = await owned(session, arguments.reference, context)
        quote = _stay(booking, arguments, context)
        if booking is None or booking.stay is None or quote.outcome not in ("cheaper", "dearer", "same"):
            return quote
        booking.total += stay_difference(booking.stay, arguments.nights)
        booking.stay.arrival, booking.stay.nights = arguments.day, arguments.nights
        return changes.kept(session, context, booking.reference, "stay", arguments, quote)


async def request_assistance(backend: Backend, arguments: Need, context: ActionContext) -> Done:
    """Note the help a traveller needs, for the airline."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Done):
            return done
        booking = await owned(session, arguments.reference, context)
        if booking is None or booking.status != "confirmed" or not booking.legs:
            return Done(outcome="closed")
        if booking.assistance == arguments.need:
            return Done(outcome="already", detail=arguments.need)
        booking.assistance = arguments.need
        result = Done(outcome="done", detail=arguments.need)
        return changes.kept(session, context, booking.reference, "assistance", arguments, result)


async def points_balance(backend: Backend, arguments: Nothing, context: ActionContext) -> Points:
    """The verified caller's points."""
    async with backend.session() as session:
        customer = await session.get(Customer, (context.customer or {}).get("customer_id", 0))
        if customer is None:
            raise LookupError("nobody is verified; set 'identity: verified' on this action")
        above = [(name, least) for name, least in TIERS if least > customer.points]
        return Points(
            tier=customer.tier,
            points=customer.points,
            spoken=f"{customer.points:,}",
            expire_on=customer.points_expire_on,
            expiring=customer.points > 0 and customer.points_expire_on - today(context) <= timedelta(days=WARNED_DAYS),
            missing=f"{above[0][1] - customer.points:,}" if above else "",
            next_tier=above[0][0] if above else "none",
        )


async def report_bag(backend: Backend, arguments: MissingBag, context: ActionContext) -> BagReport:
    """Open a search for a bag; one that is open already is given again."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, BagReport):
            return done
        if await owned(session, arguments.reference, context) is None:
            raise LookupError(f"booking {arguments.reference} is not this caller's; look it up first")
        if before := await changes.earlier(session, arguments.reference, "bag_search"):
            return BagReport(outcome="already", file=BagReport.model_validate_json(before.result).file)
        result = BagReport(outcome="opened", file=str(7000 + int(arguments.reference) % 1000))
        return changes.kept(session, context, arguments.reference, "bag_search", arguments, result)


async def send_itinerary(backend: Backend, arguments: BookingNumber, context: ActionContext) -> Done:
    """Send the papers of a booking to the address that is on it."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Done):
            return done
        booking = await owned(session, arguments.reference, context)
        if booking is None:
            return Done(outcome="closed")
        return changes.kept(session, context, booking.reference, "itinerary", arguments, Done(outcome="done"))


async def buy_cover(backend: Backend, arguments: BookingNumber, context: ActionContext) -> Done:
    """Add cancellation cover to a trip."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Done):
            return done
        booking = await owned(session, arguments.reference, context)
        if booking is None or booking.status != "confirmed" or not booking.legs:
            return Done(outcome="closed")
        if booking.covered:
            return Done(outcome="already")
        booking.covered = True
        booking.total += COVER
        return changes.kept(session, context, booking.reference, "cover", arguments, Done(outcome="done"))


async def stop_offers(backend: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Make no more offers to this caller."""
    mine = Customer.id == (context.customer or {}).get("customer_id")
    return Done(outcome="done" if await spare_client(backend, Customer, context, mine) else "closed")


async def log_complaint(backend: Backend, arguments: BookingComplaint, context: ActionContext) -> Logged:
    """Record a complaint; an unknown booking is left out rather than losing the complaint."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Logged):
            return done
        known = await session.get(Booking, arguments.reference or "")
        result = Logged(number=str(3001 + await changes.count_of(session, "complaint")))
        return changes.kept(session, context, arguments.reference if known else None, "complaint", arguments, result)


async def _check_in(session: AsyncSession, booking: Booking | None, now: date) -> CheckIn:
    ahead = [leg for leg in booking.legs if leg.day >= now] if booking else []
    if booking is None or booking.status != "confirmed" or not ahead:
        return CheckIn(outcome="closed")
    leg = ahead[0]
    state = await session.scalar(select(Departure).where(Departure.number == leg.number, Departure.day == leg.day))
    outcome = "open"
    if state is not None and state.status == "cancelled":
        outcome = "cancelled"
    elif booking.checked_in:
        outcome = "already"
    elif leg.day - now > timedelta(days=1):
        outcome = "too_early"
    elif booking.papers:
        outcome = "papers"
    return CheckIn(
        outcome=outcome,
        seat=seat_spoken(booking.seat) if booking.seat else "a seat that the airline picks",
        number=leg.number,
        day=leg.day,
        departs=leg.route.departs,
        opens_on=leg.day - timedelta(days=1),
    )


def _seat(booking: Booking | None, seat: str) -> SeatQuote:
    spoken = seat_spoken(seat).partition(" ")[2]
    if booking is None or booking.status != "confirmed" or not booking.legs:
        return SeatQuote(outcome="closed", seat=seat, spoken=spoken)
    if booking.seat == seat:
        return SeatQuote(outcome="same", seat=seat, spoken=spoken)
    free = booking.fare == "flex" or booking.customer.tier == "gold"
    fee = Money(minor=0 if free else SEAT_FEE[seat])
    return SeatQuote(outcome="fee" if fee.minor else "free", seat=seat, spoken=spoken, fee=fee)


def _bags(booking: Booking | None, bags: int) -> BagQuote:
    if booking is None or booking.status != "confirmed" or not booking.legs:
        return BagQuote(outcome="closed")
    total = booking.bags + bags
    if total > MOST_BAGS:
        return BagQuote(outcome="too_many", total=booking.bags)
    free = max(0, 1 - booking.bags) if booking.customer.tier == "gold" else 0
    fee = Money(minor=BAG_FEE * max(0, bags - free))
    return BagQuote(
        outcome="fee" if fee.minor else "free",
        more=counted(bags, "more bag"),
        total=total,
        total_spoken=counted(total, "checked bag"),
        fee=fee,
    )


def _stay(booking: Booking | None, wish: NewStay, context: ActionContext) -> StayQuote:
    if booking is None or booking.status != "confirmed" or booking.stay is None:
        return StayQuote(outcome="none")
    stay = booking.stay
    quote = StayQuote(
        outcome="same",
        hotel=stay.hotel,
        day=wish.day,
        nights=wish.nights,
        nights_spoken=counted(wish.nights, "night"),
    )
    difference = stay_difference(stay, wish.nights)
    if not stay.flexible:
        quote.outcome = "fixed"
    elif stay.arrival - today(context) < timedelta(days=CHANGE_STAY_DAYS) or wish.day < today(context):
        quote.outcome = "late"
    elif difference:
        quote.outcome = "dearer" if difference > 0 else "cheaper"
    quote.difference = Money(minor=abs(difference))
    return quote
