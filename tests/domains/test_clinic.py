"""The clinic's backend: whose record it is, what is free, what is cancelled at which cost, and nothing done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from conversation import ManualClock
from sqlalchemy import func, select

from agent.dialogue.actions import ActionContext
from agent.dialogue.identity import Attempts
from agent.dialogue.loader import load_domain
from agent.domains.backend import Backend
from agent.domains.clinic import appointments, care, desk, identity
from agent.domains.clinic.schedule import opening_at
from agent.domains.clinic.seed import PATIENTS, working_day
from agent.domains.clinic.store import Appointment, Patient, Request, open_clinic
from agent.domains.forms import CallerNumber, NewComplaint, Nothing
from agent.domains.proof import Claim

CLOCK = ManualClock()
TODAY = CLOCK.wall().date()
ANNA, MARCUS, PRIYA, HAROLD, SOFIA, EMIL, GRACE, TOM, LILY = range(1, 10)


def as_caller(patient: int | None, key: str = "k", attempts: Attempts | None = None) -> ActionContext:
    known = None if patient is None else {"id": patient}
    counted = (attempts or Attempts(CLOCK)).for_call("+15415550101")
    return ActionContext("c", key, CLOCK, caller="+15415550101", customer=known, attempts=counted)


@pytest_asyncio.fixture
async def clinic() -> AsyncIterator[Backend]:
    backend = await open_clinic("sqlite+aiosqlite:///:memory:", CLOCK)
    yield backend
    await backend.close()


async def count(clinic: Backend, table: type[Appointment] | type[Request]) -> int:
    async with clinic.session() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


@pytest.mark.parametrize(
    ("name", "born", "postcode", "outcome"),
    [
        ("Anna Bergstrom", "1980-03-03", "97412", "proven"),
        ("it's anna berg strom", "1980-03-03", "97412", "proven"),
        ("b e r g s t r o m", "1980-03-03", "97412", "proven"),
        ("Anna Webb", "1980-03-03", "97412", "wrong"),
        ("Anna Bergstrom", "1980-03-04", "97412", "wrong"),
        ("Anna Bergstrom", "1980-03-03", "97413", "wrong"),
    ],
)
async def test_identity(clinic: Backend, name: str, born: str, postcode: str, outcome: str) -> None:
    claim = Claim(name=name, birth_date=date.fromisoformat(born), postcode=postcode)
    proof = await identity.check_identity(clinic, claim, as_caller(None))
    assert proof.outcome == outcome
    assert proof.id == (ANNA if outcome == "proven" else 0)


async def test_wrong_proofs_lock_the_record(clinic: Backend) -> None:
    wrong = Claim(name="Eve Miller", birth_date=date(1980, 3, 3), postcode="97412")
    context = as_caller(None)
    outcomes = [(await identity.check_identity(clinic, wrong, context)).outcome for _ in range(3)]
    assert outcomes == ["wrong", "wrong", "locked"]
    right = wrong.model_copy(update={"name": "Anna Bergstrom"})
    assert (await identity.check_identity(clinic, right, context)).outcome == "locked"


async def test_nothing_is_told_without_a_proven_patient(clinic: Backend) -> None:
    for action in (care.my_results, care.my_referral, desk.my_balance):
        with pytest.raises(PermissionError):
            await action(clinic, Nothing(), as_caller(None))


async def test_a_number_that_several_share_names_only_the_grown_up(clinic: Backend) -> None:
    found = await identity.find_caller(clinic, CallerNumber(phone="+15415550101"), as_caller(None))
    assert (found.known, found.name) == (True, "Anna")
    assert "the results of your blood test" in found.open_items
    assert not (await identity.find_caller(clinic, CallerNumber(), as_caller(None))).known
    await identity.stop_offers(clinic, Nothing(), as_caller(None))
    assert (await identity.find_caller(clinic, CallerNumber(phone="+15415550101"), as_caller(None))).no_offers


async def test_booking_takes_the_time_once(clinic: Backend) -> None:
    wanted = appointments.Wanted(day=working_day(TODAY, 1), part="morning")
    offer = await appointments.find_openings(clinic, wanted, as_caller(SOFIA))
    assert (offer.outcome, offer.doctor, offer.time) == ("same_day", "Dr. Serrano", "09:00")
    booking = appointments.Booking(place=offer.place, visit="a check-up")
    before = await count(clinic, Appointment)
    for _ in range(2):
        assert (await appointments.book(clinic, booking, as_caller(SOFIA, "one"))).outcome == "booked"
    assert await count(clinic, Appointment) == before + 1
    assert (await appointments.book(clinic, booking, as_caller(GRACE, "two"))).outcome == "taken"
    assert (await appointments.find_openings(clinic, wanted, as_caller(SOFIA))).place != offer.place


async def test_a_doctor_who_is_away_and_the_other_one_that_day(clinic: Backend) -> None:
    day = working_day(TODAY, 3)
    offer = await appointments.find_openings(clinic, appointments.Wanted(day=day, part="morning"), as_caller(EMIL))
    assert (offer.outcome, offer.doctor, offer.other_day, offer.other_doctor) == (
        "other_day",
        "Dr. Brandt",
        day,
        "Dr. Novak",
    )
    assert offer.day is not None
    assert offer.day > day


async def test_only_own_appointments_move_and_cancel(clinic: Backend) -> None:
    mine = await appointments.find_appointment(clinic, appointments.Which(), as_caller(ANNA))
    assert mine.title == "your check-up with Dr. Novak"
    assert not mine.short_notice
    place = f"Dr. Novak|{working_day(TODAY, 2)}|13:30"
    move = appointments.Move(number=mine.number, place=place)
    assert (await appointments.move(clinic, move, as_caller(MARCUS))).outcome == "taken"
    assert (await appointments.cancel(clinic, appointments.Number(number=mine.number), as_caller(MARCUS))).outcome == (
        "unknown"
    )
    assert (await appointments.move(clinic, move, as_caller(ANNA))).outcome == "booked"
    done = await appointments.cancel(clinic, appointments.Number(number=mine.number), as_caller(ANNA))
    assert (done.outcome, done.fee.minor) == ("cancelled", 0)
    again = await appointments.cancel(clinic, appointments.Number(number=mine.number), as_caller(ANNA))
    assert again.outcome == "already"


async def test_short_notice_costs_the_fee_once(clinic: Backend) -> None:
    mine = await appointments.my_appointments(clinic, appointments.Day(day=working_day(TODAY, 1)), as_caller(MARCUS))
    assert (mine.outcome, mine.count) == ("picked", 2)
    one = await appointments.find_appointment(clinic, appointments.Which(which=mine.picked), as_caller(MARCUS))
    assert one.short_notice
    for outcome in ("cancelled", "already"):
        done = await appointments.cancel(clinic, appointments.Number(number=one.number), as_caller(MARCUS))
        assert (done.outcome, done.fee.minor) == (outcome, 2500)
    async with clinic.session() as session:
        assert (await session.get_one(Patient, MARCUS)).balance == 8540 + 2500


async def test_late_only_with_an_appointment_today(clinic: Backend) -> None:
    assert (await appointments.running_late(clinic, Nothing(), as_caller(HAROLD))).outcome == "told"
    assert (await appointments.running_late(clinic, Nothing(), as_caller(ANNA))).outcome == "none"


@pytest.mark.parametrize(
    ("patient", "medicine", "state", "outcome"),
    [
        (ANNA, None, "active", "sent"),
        (MARCUS, "metformin", "expired", "asked"),
        (PRIYA, None, "controlled", "refused"),
        (HAROLD, None, "too_soon", "refused"),
        (EMIL, "omeprazole", "pending", "refused"),
        (ANNA, "warfarin", "unknown", "refused"),
    ],
)
async def test_refills(clinic: Backend, patient: int, medicine: str | None, state: str, outcome: str) -> None:
    wanted = care.Medicine(medicine=medicine)
    assert (await care.find_prescription(clinic, wanted, as_caller(patient))).state == state
    for _ in range(2):
        assert (await care.refill(clinic, wanted, as_caller(patient))).outcome == outcome
    if outcome == "sent":
        assert (await care.refill(clinic, wanted, as_caller(patient, "another"))).outcome == "refused"


async def test_results_referrals_and_vaccines(clinic: Backend) -> None:
    states = [(await care.my_results(clinic, Nothing(), as_caller(one))).state for one in (ANNA, TOM, HAROLD, SOFIA)]
    assert states == ["ready", "pending", "discussed", "none"]
    kinds = [
        (await care.my_referral(clinic, Nothing(), as_caller(one))).state
        for one in (MARCUS, PRIYA, HAROLD, GRACE, ANNA)
    ]
    assert kinds == ["approved", "sent", "denied", "requested", "none"]
    shots = [
        (await care.check_vaccine(clinic, care.VaccineName(vaccine=name), as_caller(one))).state
        for one, name in ((ANNA, "flu"), (LILY, "shingles"), (HAROLD, "pneumonia"), (ANNA, "rabies"))
    ]
    assert shots == ["available", "too_young", "out_of_stock", "unknown"]


async def test_requests_are_written_once(clinic: Backend) -> None:
    for _ in range(2):
        back = await care.book_call_back(clinic, care.CallBack(about="fever", part="any"), as_caller(LILY, "b"))
        await desk.log_complaint(clinic, NewComplaint(text="rude"), as_caller(None, "c"))
        await desk.send_pay_link(clinic, Nothing(), as_caller(PRIYA, "l"))
    assert (back.part, back.phone_end, back.day - TODAY) == ("morning", "0101", timedelta(days=1))
    assert await count(clinic, Request) == 3


async def test_registration(clinic: Backend) -> None:
    new = desk.NewPatient(name="Nadia Farrow", birth_date=date(1995, 8, 2), phone="+15415550199", insurer="Summit Care")
    made = [await desk.register(clinic, new, as_caller(None, "n")) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].outcome == "registered"
    old = new.model_copy(update={"name": "Priya Raman", "birth_date": date(1991, 7, 15)})
    assert (await desk.register(clinic, old, as_caller(None, "o"))).outcome == "known"


def test_insurers_and_domain() -> None:
    domain = load_domain(Path(__file__).parents[2] / "configs" / "domains" / "clinic")
    assert set(domain.slots["insurer"].options["values"]) == set(desk.INSURERS)
    assert len(PATIENTS) >= 8
    assert len(domain.flows) >= 8
    assert len(domain.facts) >= 30
    assert opening_at("Dr. Who|2026-05-05|09:00") is None
    assert opening_at("nonsense") is None
