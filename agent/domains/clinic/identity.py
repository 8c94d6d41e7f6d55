"""Who calls: proving a patient by name, date of birth and postcode, and what is known of a telephone number."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import select, update

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.clinic.store import Appointment, LabResult, Patient
from agent.domains.forms import CallerNumber, Done, Nothing
from agent.domains.names import same_name

OPEN_DAYS = 3
"""Days before an appointment in which a caller is reminded of it."""


class Claim(BaseModel):
    """Who the caller says the patient is; `name` in the caller's own words."""

    name: str = Field(min_length=1, max_length=200)
    birth_date: date
    postcode: str = Field(pattern=r"^\d{5}$")


class Proof(BaseModel):
    """outcome: proven, wrong or locked (too many wrong proofs); the rest is of the proven patient.

    `phone_end`: the last four digits of the number on record.
    """

    outcome: str
    id: int = 0
    name: str = ""
    first_name: str = ""
    doctor: str = ""
    pharmacy: str = ""
    phone_end: str = ""
    no_offers: bool = False


class Caller(BaseModel):
    """What is known of a caller's number before anything is proven."""

    known: bool
    name: str = ""
    pace: float = 1.0
    no_offers: bool = False
    open_items: list[str] = []


def patient_of(context: ActionContext) -> int:
    """The id of the proven patient.

    Raises:
        PermissionError: nobody was proven in this call.
    """
    if context.customer is None:
        raise PermissionError("no patient is proven in this call; run the flow 'verify' first")
    return int(context.customer["id"])


async def check_identity(clinic: Backend, claim: Claim, context: ActionContext) -> Proof:
    """Compare a claim with the patients; a wrong claim counts against the record it names.

    The name is compared loosely, once date of birth and postcode have matched.
    """
    claimed = f"{claim.birth_date}|{claim.postcode}"
    if context.attempts.locked(claimed):
        return Proof(outcome="locked")
    async with clinic.session() as session:
        same = select(Patient).where(Patient.birth_date == claim.birth_date, Patient.postcode == claim.postcode)
        for patient in (await session.scalars(same)).all():
            if same_name(claim.name, patient.name):
                context.attempts.proved(claimed)
                return _proven(patient)
    context.attempts.failed(claimed)
    return Proof(outcome="locked" if context.attempts.locked(claimed) else "wrong")


async def find_caller(clinic: Backend, arguments: CallerNumber, context: ActionContext) -> Caller:
    """Whose number calls, with what is open for them; nobody where several patients share it."""
    if not arguments.phone:
        return Caller(known=False)
    today = context.clock.wall().date()
    async with clinic.session() as session:
        owners = (await session.scalars(select(Patient).where(Patient.phone == arguments.phone))).all()
        adults = [one for one in owners if (today - one.birth_date).days >= 18 * 365.25]
        if len(adults) != 1:
            return Caller(known=False)
        patient = adults[0]
        soon = select(Appointment).where(
            Appointment.patient_id == patient.id,
            Appointment.status == "booked",
            Appointment.day.between(today, today + timedelta(days=OPEN_DAYS)),
        )
        items = [
            f"your appointment with {one.doctor} on {one.day:%B} {one.day.day}"
            for one in (await session.scalars(soon.order_by(Appointment.day))).all()
        ]
        ready = select(LabResult).where(LabResult.patient_id == patient.id, LabResult.state == "ready")
        items += [f"the results of your {one.test}" for one in (await session.scalars(ready)).all()]
    return Caller(
        known=True,
        name=patient.name.split()[0],
        pace=patient.pace,
        no_offers=patient.no_offers,
        open_items=items[:2],
    )


async def stop_offers(clinic: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Make no more offers to whoever calls from this number."""
    async with clinic.session() as session, session.begin():
        await session.execute(update(Patient).where(Patient.phone == context.caller).values(no_offers=True))
    return Done()


def _proven(patient: Patient) -> Proof:
    return Proof(
        outcome="proven",
        id=patient.id,
        name=patient.name,
        first_name=patient.name.split()[0],
        doctor=patient.doctor,
        pharmacy=patient.pharmacy,
        phone_end=patient.phone[-4:],
        no_offers=patient.no_offers,
    )
