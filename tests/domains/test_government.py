"""The city's backend: who may know what, what is open, what costs a fee, and nothing done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from conversation import ManualClock
from sqlalchemy import func, select

from agent.dialogue.actions import ActionContext
from agent.dialogue.identity import Attempts
from agent.dialogue.loader import load_domain
from agent.domains.backend import Backend
from agent.domains.forms import CallerNumber, Nothing
from agent.domains.government import bookings, identity, records, streets, tickets
from agent.domains.government.seed import RESIDENTS
from agent.domains.government.store import Pickup, Report, Request, Visit, open_government
from agent.domains.names import same_name
from agent.domains.proof import Claim

CLOCK = ManualClock()
TODAY = CLOCK.wall().date()
WALTER, INES, DEV, RUTH, TOBIAS, MINA, CARL, JOAN = range(1, 9)


def as_caller(resident: int | None, key: str = "k") -> ActionContext:
    known = None if resident is None else {"id": resident}
    counted = Attempts(CLOCK).for_call("+19205550102")
    return ActionContext("c", key, CLOCK, caller="+19205550102", customer=known, attempts=counted)


@pytest_asyncio.fixture
async def city() -> AsyncIterator[Backend]:
    backend = await open_government("sqlite+aiosqlite:///:memory:", CLOCK)
    yield backend
    await backend.close()


async def count(city: Backend, table: Any) -> int:
    async with city.session() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


@pytest.mark.parametrize(
    ("heard", "same"),
    [
        ("ines moreau", True),
        ("it's mo row", True),
        ("m o r e a u", True),
        ("Ines Marsh", False),
        ("ines", False),
        ("", False),
    ],
)
def test_names_as_they_are_heard(heard: str, same: bool) -> None:
    assert same_name(heard, "Ines Moreau") is same


async def test_proof_and_lock(city: Backend) -> None:
    claim = Claim(name="Ines Moreau", birth_date=date(1984, 10, 19), postcode="54302")
    proof = await identity.check_identity(city, claim, as_caller(None))
    assert (proof.outcome, proof.id, proof.phone_end) == ("proven", INES, "0102")
    context = as_caller(None)
    wrong = claim.model_copy(update={"postcode": "54303"})
    outcomes = [(await identity.check_identity(city, wrong, context)).outcome for _ in range(3)]
    assert outcomes == ["wrong", "wrong", "locked"]
    assert (await identity.check_identity(city, claim, context)).outcome == "locked"


async def test_profile(city: Backend) -> None:
    found = await identity.find_caller(city, CallerNumber(phone="+19205550102"), as_caller(None))
    assert found.open_items == ["your property tax", "your application for rent aid"]
    await identity.stop_offers(city, Nothing(), as_caller(None))
    assert (await identity.find_caller(city, CallerNumber(phone="+19205550102"), as_caller(None))).no_offers
    assert not (await identity.find_caller(city, CallerNumber(phone="+19995550100"), as_caller(None))).known


async def test_personal_things_need_a_proven_resident(city: Backend) -> None:
    for action in (records.my_tax, records.my_benefit, records.my_card, records.quote_certificate):
        with pytest.raises(PermissionError):
            await action(city, Nothing(), as_caller(None))


async def test_reports(city: Backend) -> None:
    new = streets.NewReport(problem="pothole", place="16 Birch Street")
    first = [await streets.report_problem(city, new, as_caller(None, "a")) for _ in range(2)]
    assert first[0] == first[1]
    assert (first[0].outcome, first[0].number, first[0].due_on) == ("created", "310241", TODAY + timedelta(days=7))
    assert (await streets.report_problem(city, new, as_caller(None, "b"))).outcome == "known"
    missed = await streets.report_missed(city, streets.Missed(bin="trash", place="8 Elm Street"), as_caller(None, "m"))
    assert missed.due_on == TODAY + timedelta(days=1)
    view = await streets.find_report(city, streets.ReportNumber(number=missed.number), as_caller(None))
    assert (view.found, view.problem, view.state) == (True, "missed trash", "received")
    follow = streets.Follow(number=missed.number, phone="+19205550142")
    assert (await streets.follow_report(city, follow, as_caller(None))).done
    assert not (await streets.find_report(city, streets.ReportNumber(number="999999"), as_caller(None))).found
    assert await count(city, Report) == 7


async def test_noise_in_the_quiet_hours_is_seen_to_at_once(city: Backend) -> None:
    noise = streets.Noise(noise="construction", place="Elm Street")
    assert not (await streets.log_noise(city, noise, as_caller(None, "n"))).at_once
    late = ManualClock()
    late.move(8 * 3_600_000.0)
    assert (await streets.log_noise(city, noise, ActionContext("c", "o", late))).at_once
    assert await count(city, Request) == 2


@pytest.mark.parametrize(
    ("number", "state", "due", "outcome"),
    [
        ("4410723", "open", 3500, "filed"),
        ("4410811", "overdue", 14500, "closed"),
        ("4410902", "disputed", 6000, "already"),
        ("4410655", "paid", 3500, "closed"),
        ("4410640", "dismissed", 6000, "closed"),
    ],
)
async def test_tickets(city: Backend, number: str, state: str, due: int, outcome: str) -> None:
    view = await tickets.find_ticket(city, tickets.TicketNumber(number=number), as_caller(None))
    assert (view.state, view.due.minor) == (state, due)
    link = await tickets.send_pay_link(city, tickets.PayLink(number=number, phone="+19205550142"), as_caller(None, "l"))
    assert link.outcome == ("sent" if state in ("open", "overdue") else "closed")
    dispute = tickets.Dispute(number=number, reason="snow")
    for _ in range(2):
        assert (await tickets.dispute_ticket(city, dispute, as_caller(None, "d"))).outcome == outcome


async def test_unknown_numbers(city: Backend) -> None:
    assert not (await tickets.find_ticket(city, tickets.TicketNumber(number="0000000"), as_caller(None))).found
    assert not (await tickets.find_permit(city, tickets.PermitNumber(number="00000000"), as_caller(None))).found
    assert (await tickets.find_permit(city, tickets.PermitNumber(number="20260152"), as_caller(None))).missing


async def test_records(city: Backend) -> None:
    taxes = [(await records.my_tax(city, Nothing(), as_caller(one))).state for one in (WALTER, INES, DEV, RUTH, JOAN)]
    assert taxes == ["due", "overdue", "none", "plan", "paid"]
    aid = [
        (await records.my_benefit(city, Nothing(), as_caller(one))).state
        for one in (WALTER, INES, DEV, RUTH, TOBIAS, MINA)
    ]
    assert aid == ["approved", "missing", "review", "received", "none", "denied"]
    cards = [
        (await records.make_card(city, Nothing(), as_caller(one, f"c{one}"))).outcome for one in (CARL, DEV, TOBIAS)
    ]
    assert cards == ["renewed", "ordered", "refused"]
    assert (await records.my_card(city, Nothing(), as_caller(DEV))).state == "active"


async def test_certificate_goes_to_the_new_address(city: Backend) -> None:
    move = records.NewAddress(address="24 Orchard Lane, Alder Falls", day=TODAY)
    await records.change_address(city, move, as_caller(MINA, "m"))
    assert (await records.quote_certificate(city, Nothing(), as_caller(MINA))).address == move.address
    for _ in range(2):
        await records.order_certificate(city, Nothing(), as_caller(MINA, "b"))
    assert await count(city, Request) == 1


async def test_the_first_pickup_of_a_year_is_free(city: Backend) -> None:
    where = bookings.Where(address="5 Canal Road", day=TODAY + timedelta(days=2))
    quote = await bookings.find_pickup_day(city, where, as_caller(None))
    assert (quote.outcome, quote.day.weekday(), quote.free) == ("other_day", 3, True)
    new = bookings.NewPickup(address="5 Canal Road", item="a mattress", day=quote.day)
    made = [await bookings.book_pickup(city, new, as_caller(None, "p")) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].fee.minor == 0
    assert not (await bookings.find_pickup_day(city, where, as_caller(None))).free
    monday = new.model_copy(update={"day": TODAY})
    assert (await bookings.book_pickup(city, monday, as_caller(None, "q"))).outcome == "full"
    assert await count(city, Pickup) == 3


async def test_visits(city: Backend) -> None:
    wanted = bookings.Wanted(office="tax office", day=TODAY + timedelta(days=2), part="morning")
    offer = await bookings.find_visits(city, wanted, as_caller(None))
    assert (offer.outcome, offer.day, offer.time) == ("other_day", TODAY + timedelta(days=3), "10:00")
    new = bookings.NewVisit(place=offer.place, name="Dev", phone="+19205550103")
    for _ in range(2):
        assert (await bookings.book_visit(city, new, as_caller(None, "v"))).outcome == "booked"
    assert (await bookings.book_visit(city, new, as_caller(None, "w"))).outcome == "taken"
    assert (await bookings.find_visits(city, wanted, as_caller(None))).place != offer.place
    assert (
        await bookings.find_visits(city, wanted.model_copy(update={"office": "mayor"}), as_caller(None))
    ).outcome == ("unknown")
    assert await count(city, Visit) == 1


def test_what_the_domain_names_is_what_the_backend_knows() -> None:
    domain = load_domain(Path(__file__).parents[2] / "configs" / "domains" / "government")
    assert set(domain.slots["office"].options["values"]) == set(bookings.HOURS)
    assert set(domain.slots["problem"].options["values"]) <= set(streets.DAYS)
    assert {f"missed {name}" for name in domain.slots["bin"].options["values"]} <= set(streets.DAYS)
    assert len(RESIDENTS) >= 8
