"""The travel agency's backend: whose booking it is, what a change costs, and that nothing is done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest
import pytest_asyncio
from conversation import ManualClock

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.forms import CallerNumber, Nothing
from agent.domains.proof import MOST_FAILED
from agent.domains.travel import actions, service, views
from agent.domains.travel.rules import same_name
from agent.domains.travel.store import Booking, open_travel

CLOCK = ManualClock()
TODAY = CLOCK.wall().date()
MAYA, THEO, PRIYA, SAM, NOOR, GUS, INES, ROB = range(1, 9)


def as_caller(customer: int | None, key: str = "k") -> ActionContext:
    known = None if customer is None else {"customer_id": customer}
    return ActionContext(call_id="c", key=key, clock=CLOCK, caller="+13035550101", customer=known)


def named(reference: str) -> views.BookingNumber:
    return views.BookingNumber(reference=reference)


@pytest_asyncio.fixture
async def agency() -> AsyncIterator[Backend]:
    backend = await open_travel("sqlite+aiosqlite:///:memory:", CLOCK)
    yield backend
    await backend.close()


async def test_a_booking_is_only_there_for_whom_it_belongs_to(agency: Backend) -> None:
    assert (await actions.view_booking(agency, named("482617"), as_caller(MAYA))).way == "Denver to Seattle"
    for other in (None, THEO):
        assert not (await actions.view_booking(agency, named("482617"), as_caller(other))).found
        assert (await actions.quote_cancel(agency, named("482617"), as_caller(other))).outcome == "already"
        assert (await actions.cancel_booking(agency, named("482617"), as_caller(other))).outcome == "already"
    assert (await actions.view_booking(agency, named("482617"), as_caller(MAYA))).state == "flight"


@pytest.mark.parametrize(
    ("proof", "outcome"),
    [
        ({"birth_date": date(1984, 3, 12)}, "proven"),
        ({"birth_date": date(1984, 3, 13)}, "wrong"),
        ({"last_name": "it's Lindquist"}, "proven"),
        ({"last_name": "l i n d q v i s t"}, "proven"),
        ({"last_name": "Marsh"}, "wrong"),
        ({}, "wrong"),
    ],
)
async def test_proof(agency: Backend, proof: dict[str, Any], outcome: str) -> None:
    assert (await actions.prove(agency, views.Proof(reference="482617", **proof), as_caller(None))).outcome == outcome


async def test_wrong_proofs_lock_a_booking(agency: Backend) -> None:
    wrong = views.Proof(reference="482617", birth_date=date(1990, 1, 1))
    outcomes = [(await actions.prove(agency, wrong, as_caller(None))).outcome for _ in range(MOST_FAILED)]
    assert outcomes == ["wrong"] * (MOST_FAILED - 1) + ["locked"]
    right = views.Proof(reference="482617", birth_date=date(1984, 3, 12))
    assert (await actions.prove(agency, right, as_caller(None))).outcome == "locked"
    assert (await actions.find_booking(agency, named("482617"), as_caller(None))).state == "locked"
    assert (await actions.find_booking(agency, named("000000"), as_caller(None))).found is False


@pytest.mark.parametrize(
    ("reference", "customer", "outcome"),
    [("482617", MAYA, "part"), ("493205", THEO, "full"), ("528914", SAM, "taxes"), ("528915", SAM, "full"),
     ("552473", INES, "full"), ("563802", ROB, "full"), ("539026", NOOR, "flown"), ("493206", THEO, "already")],
)  # fmt: skip
async def test_what_comes_back(agency: Backend, reference: str, customer: int, outcome: str) -> None:
    assert (await actions.quote_cancel(agency, named(reference), as_caller(customer))).outcome == outcome


async def test_a_booking_is_cancelled_once(agency: Backend) -> None:
    first = await actions.cancel_booking(agency, named("482617"), as_caller(MAYA, "one"))
    assert (first.outcome, first.refund.minor) == ("cancelled", 38640 - 7500)
    assert await actions.cancel_booking(agency, named("482617"), as_caller(MAYA, "one")) == first
    assert (await actions.cancel_booking(agency, named("482617"), as_caller(MAYA, "two"))).outcome == "already"
    assert (await actions.refund_status(agency, named("482617"), as_caller(MAYA))).state == "requested"


@pytest.mark.parametrize(
    ("reference", "customer", "ahead", "outcome"),
    [("482617", MAYA, 14, "full"), ("482617", MAYA, 12, "same"), ("482618", MAYA, 5, "not_allowed"),
     ("482617", MAYA, -1, "closed"), ("541188", GUS, 5, "closed"), ("552473", INES, 27, "free"),
     ("482617", MAYA, 18, "order")],
)  # fmt: skip
async def test_change_of_date(agency: Backend, reference: str, customer: int, ahead: int, outcome: str) -> None:
    wish = views.NewDay(reference=reference, day=TODAY + timedelta(days=ahead))
    assert (await actions.quote_change(agency, wish, as_caller(customer))).outcome == outcome
    if outcome != "free":
        assert (await actions.change_flight(agency, wish, as_caller(customer))).outcome == outcome


async def test_the_way_home_is_moved_alone(agency: Backend) -> None:
    day = next(TODAY + timedelta(days=n) for n in range(17, 24) if (TODAY + timedelta(days=n)).weekday() == 2)
    wish = views.NewDay(reference="482617", day=day, direction="return")
    moved = await actions.change_flight(agency, wish, as_caller(MAYA))
    assert (moved.outcome, moved.number, moved.fee.minor) == ("changed", "305", 5000)
    trip = await actions.view_booking(agency, named("482617"), as_caller(MAYA))
    assert (trip.back_day, trip.day) == (day, TODAY + timedelta(days=12))


async def test_no_flight_on_saturdays(agency: Backend) -> None:
    day = next(TODAY + timedelta(days=n) for n in range(14, 21) if (TODAY + timedelta(days=n)).weekday() == 5)
    wish = views.NewDay(reference="493205", day=day)
    assert (await actions.quote_change(agency, wish, as_caller(THEO))).outcome == "no_flight"


async def test_a_missed_connection_is_rebooked(agency: Backend) -> None:
    offer = await actions.find_connection(agency, named("517340"), as_caller(PRIYA))
    assert (offer.outcome, offer.number, offer.day) == ("offer", "222", TODAY)
    wish = views.NewFlight(reference="517340", flight_number="222", day=TODAY)
    done = await actions.rebook(agency, wish, as_caller(PRIYA))
    assert (done.outcome, done.number) == ("rebooked", "222")
    assert await actions.rebook(agency, wish, as_caller(PRIYA)) == done
    elsewhere = views.NewFlight(reference="517340", flight_number="640", day=TODAY)
    assert (await actions.rebook(agency, elsewhere, as_caller(PRIYA, "x"))).outcome == "full"
    assert (await actions.find_connection(agency, named("482617"), as_caller(MAYA))).outcome == "no_trouble"
    assert (await actions.find_connection(agency, named("563802"), as_caller(ROB))).outcome == "offer"


@pytest.mark.parametrize(
    ("reference", "customer", "outcome"),
    [("482618", MAYA, "done"), ("482617", MAYA, "too_early"), ("539027", NOOR, "papers"), ("552474", INES, "already"),
     ("563802", ROB, "cancelled"), ("541188", GUS, "closed"), ("539026", NOOR, "closed")],
)  # fmt: skip
async def test_check_in(agency: Backend, reference: str, customer: int, outcome: str) -> None:
    assert (await service.check_in(agency, named(reference), as_caller(customer))).outcome == outcome


async def test_flight_states(agency: Backend) -> None:
    states = {}
    for number, ahead in (("214", 0), ("527", 0), ("305", 0), ("733", 1), ("218", 0), ("214", 3)):
        asked = views.FlightOnDay(flight_number=number, day=TODAY + timedelta(days=ahead))
        states[number, ahead] = (await actions.flight_status(agency, asked, as_caller(None))).state
    assert list(states.values()) == ["landed", "delayed", "boarding", "cancelled", "on_time", "scheduled"]
    late = await actions.flight_status(agency, views.FlightOnDay(flight_number="527"), as_caller(None))
    assert (late.departs, late.expected, late.late_minutes) == ("12:45", "14:15", 90)


async def test_seats_bags_and_stays(agency: Backend) -> None:
    seat = views.SeatWish(reference="482618", seat="window")
    assert (await service.choose_seat(agency, seat, as_caller(MAYA))).outcome == "free"
    paid = views.SeatWish(reference="528914", seat="window")
    assert (await service.quote_seat(agency, paid, as_caller(SAM))).fee.minor == 1200
    bags = views.BagWish(reference="528914", bags=2)
    assert (await service.add_bags(agency, bags, as_caller(SAM, "b"))).fee.minor == 8000
    assert (await service.add_bags(agency, bags, as_caller(SAM, "c"))).outcome == "too_many"
    for reference, nights, outcome in (
        ("541189", 4, "dearer"),
        ("541189", 2, "cheaper"),
        ("541188", 2, "fixed"),
    ):
        wish = views.NewStay(reference=reference, day=TODAY + timedelta(days=20), nights=nights)
        assert (await service.quote_stay(agency, wish, as_caller(GUS))).outcome == outcome


async def test_bag_search_points_and_profile(agency: Backend) -> None:
    lost = views.MissingBag(reference="539026", bag="a blue suitcase")
    opened = await service.report_bag(agency, lost, as_caller(NOOR, "one"))
    assert opened.outcome == "opened"
    again = await service.report_bag(agency, lost, as_caller(NOOR, "two"))
    assert (again.outcome, again.file) == ("already", opened.file)
    with pytest.raises(LookupError, match="not this caller's"):
        await service.report_bag(agency, lost, as_caller(GUS, "three"))
    points = await service.points_balance(agency, Nothing(), as_caller(GUS))
    assert (points.expiring, points.next_tier, points.missing) == (True, "gold", "10,100")
    profile = await actions.find_caller(agency, CallerNumber(phone="+13035550101"), as_caller(None))
    assert (profile.known, profile.name, profile.vip) == (True, "Maya", True)
    assert not (await actions.find_caller(agency, CallerNumber(), as_caller(None))).known
    await service.stop_offers(agency, Nothing(), as_caller(MAYA))
    assert (await actions.find_caller(agency, CallerNumber(phone="+13035550101"), as_caller(None))).no_offers


async def test_a_complaint_keeps_only_a_booking_that_exists(agency: Backend) -> None:
    first = await service.log_complaint(
        agency, views.BookingComplaint(text="late", reference="999999"), as_caller(None)
    )
    assert first == await service.log_complaint(agency, views.BookingComplaint(text="late"), as_caller(None))
    assert first.number == "3001"


def test_names_as_they_are_heard() -> None:
    assert same_name("my name is white field", "Whitfield")
    assert same_name("Okaffor", "Okafor")
    assert not same_name("Smith", "Marsh")
    assert not same_name("no", "Noor")


async def test_every_booking_has_a_customer_and_something_in_it(agency: Backend) -> None:
    async with agency.session() as session:
        for booking in (await session.scalars(Booking.__table__.select())).all():
            found = await session.get(Booking, booking)
            assert found is not None
            assert found.customer.last_name
            assert found.legs or found.stay
