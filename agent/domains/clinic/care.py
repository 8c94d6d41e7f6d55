"""Prescriptions, test results, referrals, vaccines and call-backs of a proven patient."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.clinic.identity import patient_of
from agent.domains.clinic.seed import working_day
from agent.domains.clinic.store import LabResult, Patient, Prescription, Referral, Request, Vaccine
from agent.domains.forms import Nothing
from agent.domains.requests import put_request


class Medicines(BaseModel):
    """What the patient takes; `only` is the one medicine where there is one."""

    count: int
    options: list[str] = []
    only: str = ""


class Medicine(BaseModel):
    """One of the patient's medicines, by its name; None where there is only one."""

    medicine: str | None = None


class PrescriptionView(BaseModel):
    """state: active, too_soon, expired, controlled, pending, renewal or unknown. `refills` are those left."""

    state: str
    medicine: str = ""
    refills: int = 0
    refill_from: date | None = None


class Refilled(BaseModel):
    """outcome: sent (to the pharmacy), asked (the doctor to renew it) or refused."""

    outcome: str
    medicine: str = ""


class Results(BaseModel):
    """state: none, ready, pending or discussed; `tests` are those in that state."""

    state: str
    tests: list[str] = []
    taken_on: date | None = None


class ReferralView(BaseModel):
    """state: none, requested, sent, approved or denied."""

    state: str
    specialty: str = ""
    clinic: str = ""
    changed_on: date | None = None


class VaccineName(BaseModel):
    """Which vaccine."""

    vaccine: str


class VaccineView(BaseModel):
    """state: available, out_of_stock, too_young or unknown; `visit` names the appointment."""

    state: str
    vaccine: str = ""
    visit: str = ""
    least_age: int = 0


class CallBack(BaseModel):
    """What a nurse or doctor should call about, and in which part of the day."""

    about: str
    part: str | None = None


class CallBackMade(BaseModel):
    """When the patient is called; `phone_end` are the last four digits of the number."""

    day: date
    part: str
    phone_end: str


async def my_medicines(clinic: Backend, arguments: Nothing, context: ActionContext) -> Medicines:
    """Name the patient's medicines."""
    async with clinic.session() as session:
        query = select(Prescription.medicine).where(Prescription.patient_id == patient_of(context))
        names = list((await session.scalars(query.order_by(Prescription.id))).all())
    return Medicines(count=len(names), options=names, only=names[0] if len(names) == 1 else "")


async def find_prescription(clinic: Backend, arguments: Medicine, context: ActionContext) -> PrescriptionView:
    """Look up whether one of the patient's medicines can be refilled."""
    async with clinic.session() as session:
        row = await _prescription(session, arguments, context)
        if row is None:
            return PrescriptionView(state="unknown")
        soon = row.state == "active" and row.refill_from > context.clock.wall().date()
        state = "too_soon" if soon else "expired" if row.state == "active" and not row.refills else row.state
        return PrescriptionView(state=state, medicine=row.medicine, refills=row.refills, refill_from=row.refill_from)


async def refill(clinic: Backend, arguments: Medicine, context: ActionContext) -> Refilled:
    """Send a refill to the pharmacy, or ask the doctor to renew what has run out."""
    async with clinic.session() as session, session.begin():
        row = await _prescription(session, arguments, context)
        if row is None:
            return Refilled(outcome="refused")
        if row.key == context.key:
            return Refilled(outcome="sent" if row.state == "pending" else "asked", medicine=row.medicine)
        too_soon = row.state == "active" and row.refill_from > context.clock.wall().date()
        if too_soon or row.state not in ("active", "expired"):
            return Refilled(outcome="refused", medicine=row.medicine)
        sent = row.state == "active" and row.refills > 0
        changed = await session.execute(
            update(Prescription)
            .where(Prescription.id == row.id, Prescription.state == row.state, Prescription.refills == row.refills)
            .values(state="pending" if sent else "renewal", refills=row.refills - 1 if sent else 0, key=context.key)
            .returning(Prescription.id)
        )
        if changed.first() is None:
            return Refilled(outcome="refused", medicine=row.medicine)
        return Refilled(outcome="sent" if sent else "asked", medicine=row.medicine)


async def my_results(clinic: Backend, arguments: Nothing, context: ActionContext) -> Results:
    """Tell whether test results are there, never what they say."""
    async with clinic.session() as session:
        query = select(LabResult).where(LabResult.patient_id == patient_of(context))
        rows = (await session.scalars(query.order_by(LabResult.taken_on))).all()
    for state in ("ready", "pending", "discussed"):
        tests = [row for row in rows if row.state == state]
        if tests:
            return Results(state=state, tests=[row.test for row in tests], taken_on=tests[-1].taken_on)
    return Results(state="none")


async def my_referral(clinic: Backend, arguments: Nothing, context: ActionContext) -> ReferralView:
    """Tell where the patient's latest referral stands."""
    async with clinic.session() as session:
        query = select(Referral).where(Referral.patient_id == patient_of(context))
        row = (await session.scalars(query.order_by(Referral.changed_on.desc()))).first()
    if row is None:
        return ReferralView(state="none")
    return ReferralView(state=row.state, specialty=row.specialty, clinic=row.clinic, changed_on=row.changed_on)


async def check_vaccine(clinic: Backend, arguments: VaccineName, context: ActionContext) -> VaccineView:
    """Tell whether the patient can have a vaccine here."""
    async with clinic.session() as session:
        vaccine = await session.get(Vaccine, arguments.vaccine)
        patient = await session.get_one(Patient, patient_of(context))
    if vaccine is None:
        return VaccineView(state="unknown", vaccine=arguments.vaccine)
    age = (context.clock.wall().date() - patient.birth_date).days / 365.25
    state = "too_young" if age < vaccine.least_age else "available" if vaccine.stock else "out_of_stock"
    return VaccineView(state=state, vaccine=vaccine.name, visit=f"a {vaccine.name} shot", least_age=vaccine.least_age)


async def book_call_back(clinic: Backend, arguments: CallBack, context: ActionContext) -> CallBackMade:
    """Have somebody call the patient on the next working day."""
    day = working_day(context.clock.wall().date(), 1)
    part = arguments.part if arguments.part in ("morning", "afternoon") else "morning"
    async with clinic.session() as session:
        patient = await session.get_one(Patient, patient_of(context))
    text = f"{part}: {arguments.about}"
    await put_request(
        clinic, Request, context, "call_back", text, patient_id=patient.id, phone=patient.phone, due_on=day
    )
    return CallBackMade(day=day, part=part, phone_end=patient.phone[-4:])


async def _prescription(session: AsyncSession, wanted: Medicine, context: ActionContext) -> Prescription | None:
    query = select(Prescription).where(Prescription.patient_id == patient_of(context))
    if wanted.medicine is not None:
        query = query.where(Prescription.medicine == wanted.medicine)
    return (await session.scalars(query.order_by(Prescription.id))).first()
