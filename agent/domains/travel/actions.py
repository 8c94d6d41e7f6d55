"""Who calls, what is booked, and changes of flights. Every change is one transaction that checks where it starts.

Only a verified caller's own bookings are spoken of or changed: to anybody else a booking is not there. What was done is
kept by idempotency key, so that the same request again gives the same answer and nothing happens twice.
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import today
from agent.domains.forms import CallerNumber
from agent.domains.money import Money
from agent.domains.people import profile_of
from agent.domains.travel.ledger import changes, owned
from agent.domains.travel.rules import REFUND_DAYS, change_fee, direction_of, later, refund_of, same_name, trip_of
from agent.domains.travel.store import (
    Booking,
    Customer,
    Departure,
    Leg,
    Refund,
    Route,
)
from agent.domains.travel.views import (
    BookingNumber,
    Cancelled,
    CancelQuote,
    ChangeQuote,
    Connection,
    FlightChanged,
    FlightOnDay,
    FlightState,
    Located,
    NewDay,
    NewFlight,
    Proof,
    Rebooked,
    RefundState,
    Traveller,
    TravellerProfile,
    Trip,
)

AHEAD = 3
"""Days in which a flight is looked for after one that was missed."""


async def find_caller(backend: Backend, arguments: CallerNumber, context: ActionContext) -> TravellerProfile:
    """What is known of who calls from this number."""
    async with backend.session() as session:
        customer = await session.scalar(select(Customer).where(Customer.phone == (arguments.phone or "")))
        if customer is None:
            return TravellerProfile()
        open_refunds = await session.scalars(
            select(Refund)
            .join(Booking, Booking.reference == Refund.reference)
            .where(Booking.customer_id == customer.id, Refund.status != "sent")
        )
        changed = await session.scalars(
            select(Booking).where(Booking.customer_id == customer.id, Booking.changed_by_airline)
        )
        items = ["the refund that is on its way" for _ in open_refunds]
        items += ["a flight that the airline has moved" for _ in changed]
        return TravellerProfile(**profile_of(customer), open_items=items, vip=customer.tier == "gold")


async def find_booking(backend: Backend, arguments: BookingNumber, context: ActionContext) -> Located:
    """Say whether there is such a booking, and nothing else of it."""
    async with backend.session() as session:
        booking = await session.get(Booking, arguments.reference)
        if booking is None:
            return Located(found=False)
        return Located(found=True, reference=booking.reference, state="locked" if booking.locked else "open")


async def prove(backend: Backend, arguments: Proof, context: ActionContext) -> Traveller:
    """Compare what the caller says with the booking; wrong answers are counted, and too many lock it."""
    async with backend.session() as session, session.begin():
        booking = await session.get(Booking, arguments.reference)
        if booking is None:
            return Traveller(outcome="wrong")
        customer = booking.customer
        right = arguments.birth_date == customer.birth_date or (
            arguments.last_name is not None and same_name(arguments.last_name, customer.last_name)
        )
        outcome = booking.judged(right)
        if outcome != "proven":
            return Traveller(outcome=outcome)
        return Traveller(
            outcome="proven",
            proven=True,
            customer_id=customer.id,
            name=customer.first_name,
            tier=customer.tier,
        )


async def view_booking(backend: Backend, arguments: BookingNumber, context: ActionContext) -> Trip:
    """A booking of the verified caller."""
    async with backend.session() as session:
        booking = await owned(session, arguments.reference, context)
        return trip_of(booking, today(context)) if booking else Trip(found=False)


async def flight_status(backend: Backend, arguments: FlightOnDay, context: ActionContext) -> FlightState:
    """How a flight is doing; open to everyone."""
    day = arguments.day or today(context)
    async with backend.session() as session:
        route = await session.get(Route, arguments.flight_number)
        if route is None:
            return FlightState(found=False)
        special = await _departure(session, route.number, day)
        state = special.status if special else "scheduled"
        if str(day.weekday()) not in route.days:
            state = "not_flying"
        elif state == "on_time" and special is not None and special.gate is None:
            state = "scheduled"
        late = special.delay_minutes if special else 0
        return FlightState(
            found=True,
            number=route.number,
            state=state,
            way=f"{route.origin} to {route.destination}",
            day=day,
            departs=route.departs,
            arrives=later(route.arrives, late),
            late_minutes=late,
            expected=later(route.departs, late),
            gate=(special.gate if special else None) or "none",
        )


async def quote_change(backend: Backend, arguments: NewDay, context: ActionContext) -> ChangeQuote:
    """What another day would cost, without changing anything."""
    async with backend.session() as session:
        booking = await owned(session, arguments.reference, context)
        return await _quote(session, booking, arguments, today(context))


async def change_flight(backend: Backend, arguments: NewDay, context: ActionContext) -> FlightChanged:
    """Move the flights of one direction to another day."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, FlightChanged):
            return done
        booking = await owned(session, arguments.reference, context)
        quote = await _quote(session, booking, arguments, today(context))
        if booking is None or quote.outcome not in ("free", "fee"):
            return FlightChanged(outcome=quote.outcome)
        for leg in direction_of(booking, arguments.direction):
            leg.day = arguments.day
        booking.total += quote.fee.minor
        booking.checked_in = False
        result = FlightChanged(
            outcome="changed", day=arguments.day, number=quote.number, departs=quote.departs, fee=quote.fee
        )
        return changes.kept(session, context, booking.reference, "change", arguments, result)


async def quote_cancel(backend: Backend, arguments: BookingNumber, context: ActionContext) -> CancelQuote:
    """What would come back, without cancelling."""
    async with backend.session() as session:
        booking = await owned(session, arguments.reference, context)
        if booking is None or booking.status != "confirmed":
            return CancelQuote(outcome="flown" if booking and booking.status == "flown" else "already")
        outcome, refund, fee = refund_of(booking, today(context), await _called_off(session, booking))
        return CancelQuote(outcome=outcome, refund=refund, fee=fee)


async def cancel_booking(backend: Backend, arguments: BookingNumber, context: ActionContext) -> Cancelled:
    """Cancel a booking and start the refund."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Cancelled):
            return done
        booking = await owned(session, arguments.reference, context)
        if booking is None or booking.status != "confirmed":
            return Cancelled(outcome="flown" if booking and booking.status == "flown" else "already")
        _, refund, _ = refund_of(booking, today(context), await _called_off(session, booking))
        due = today(context) + timedelta(days=REFUND_DAYS)
        booking.status = "cancelled"
        session.add(Refund(reference=booking.reference, amount=refund.minor, status="requested", due_on=due))
        result = Cancelled(outcome="cancelled", refund=refund, due_on=due)
        return changes.kept(session, context, booking.reference, "cancel", arguments, result)


async def refund_status(backend: Backend, arguments: BookingNumber, context: ActionContext) -> RefundState:
    """Where the money of a cancelled booking is."""
    async with backend.session() as session:
        booking = await owned(session, arguments.reference, context)
        refund = await session.get(Refund, arguments.reference) if booking else None
        if refund is None:
            return RefundState(state="none")
        return RefundState(state=refund.status, amount=Money(minor=refund.amount), due_on=refund.due_on)


async def find_connection(backend: Backend, arguments: BookingNumber, context: ActionContext) -> Connection:
    """The next flight for a traveller who missed one, or whose flight is cancelled or late."""
    async with backend.session() as session:
        booking = await owned(session, arguments.reference, context)
        if booking is None or booking.status != "confirmed" or not booking.legs:
            return Connection(outcome="closed")
        leg, troubled = await _troubled(session, booking, today(context))
        if not troubled:
            return Connection(outcome="no_trouble")
        routes = await session.scalars(
            select(Route)
            .where(Route.origin == leg.route.origin, Route.destination == leg.route.destination)
            .order_by(Route.departs)
        )
        known = list(routes)
        for ahead in range(AHEAD + 1):
            day = leg.day + timedelta(days=ahead)
            for route in known:
                if ahead == 0 and route.departs <= leg.route.departs:
                    continue
                if await _seats(session, route, day):
                    return Connection(
                        outcome="offer",
                        number=route.number,
                        way=f"{route.origin} to {route.destination}",
                        day=day,
                        departs=route.departs,
                        arrives=route.arrives,
                    )
        return Connection(outcome="none")


async def rebook(backend: Backend, arguments: NewFlight, context: ActionContext) -> Rebooked:
    """Put the traveller on another flight of the same way, free of charge."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Rebooked):
            return done
        booking = await owned(session, arguments.reference, context)
        route = await session.get(Route, arguments.flight_number)
        if booking is None or route is None or not await _seats(session, route, arguments.day):
            return Rebooked(outcome="full")
        leg, troubled = await _troubled(session, booking, today(context))
        if not troubled or (leg.route.origin, leg.route.destination) != (route.origin, route.destination):
            return Rebooked(outcome="full")
        leg.number, leg.day, booking.checked_in = route.number, arguments.day, False
        result = Rebooked(outcome="rebooked", number=route.number, day=arguments.day, departs=route.departs)
        return changes.kept(session, context, booking.reference, "rebook", arguments, result)


async def _quote(session: AsyncSession, booking: Booking | None, wish: NewDay, now: date) -> ChangeQuote:
    if booking is None or booking.status != "confirmed" or not booking.legs or wish.day < now:
        return ChangeQuote(outcome="closed")
    legs = direction_of(booking, wish.direction)
    first = legs[0]
    home = "your flight home" if first.back else "your flight"
    quote = ChangeQuote(
        outcome="free", what=home, day=wish.day, number=first.number, departs=first.route.departs
    )  # fmt: skip
    if first.day < now:
        quote.outcome = "closed"
    elif wish.day == first.day:
        quote.outcome = "same"
    elif _out_of_order(booking, first.back, wish.day):
        quote.outcome = "order"
    elif booking.fare == "light" and not booking.changed_by_airline:
        quote.outcome = "not_allowed"
    elif any(str(wish.day.weekday()) not in leg.route.days for leg in legs):
        quote.outcome = "no_flight"
    elif not all([await _seats(session, leg.route, wish.day) for leg in legs]):
        quote.outcome = "full"
    else:
        quote.fee = change_fee(booking, wish.day)
        quote.outcome = "fee" if quote.fee.minor else "free"
    return quote


def _out_of_order(booking: Booking, back: bool, day: date) -> bool:
    others = [leg.day for leg in booking.legs if leg.back != back]
    return bool(others) and (day < max(others) if back else day > min(others))


async def _troubled(session: AsyncSession, booking: Booking, now: date) -> tuple[Leg, bool]:
    """The flight to be replaced: one that is cancelled, one missed for a late flight before it, or today's last."""
    ahead = [leg for leg in booking.legs if leg.day >= now]
    for n, leg in enumerate(ahead):
        state = await _departure(session, leg.number, leg.day)
        if state and state.status == "cancelled":
            return leg, True
        if state and state.delay_minutes >= 30 and n + 1 < len(ahead) and ahead[n + 1].day == leg.day:
            return ahead[n + 1], True
    todays = [leg for leg in ahead if leg.day == now]
    return (todays[-1], True) if todays else ((ahead or booking.legs)[0], False)


async def _called_off(session: AsyncSession, booking: Booking) -> bool:
    states = [await _departure(session, leg.number, leg.day) for leg in booking.legs]
    return any(state is not None and state.status == "cancelled" for state in states)


async def _departure(session: AsyncSession, number: str, day: date) -> Departure | None:
    return (
        await session.scalars(select(Departure).where(Departure.number == number, Departure.day == day))
    ).one_or_none()


async def _seats(session: AsyncSession, route: Route, day: date) -> bool:
    special = await _departure(session, route.number, day)
    return str(day.weekday()) in route.days and (
        special is None or (not special.full and special.status in ("on_time", "delayed"))
    )
