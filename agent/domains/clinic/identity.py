"""Who calls: proving a patient by name, date of birth and postcode, and what is known of a telephone number."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel
from sqlalchemy import select

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.clinic.store import Appointment, LabResult, Patient
from agent.domains.forms import CallerNumber, Done, Nothing
from agent.domains.people import spare_number
from agent.domains.proof import Claim, Proof, check_claim, proof_of, proven_id

OPEN_DAYS = 3
"""Days before an appointment in which a caller is reminded of it."""


class PatientProof(Proof):
    """A proof, with what else is told of the patient."""

    doctor: str = ""
    pharmacy: str = ""
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
    return proven_id(context, "patient")


async def check_identity(clinic: Backend, claim: Claim, context: ActionContext) -> PatientProof:
    """Compare a claim with the patients; a wrong claim counts against the record it names."""
    outcome, patient = await check_claim(clinic, Patient, claim, context)
    if patient is None:
        return PatientProof(outcome=outcome)
    return PatientProof(
        **proof_of(patient), doctor=patient.doctor, pharmacy=patient.pharmacy, no_offers=patient.no_offers
    )


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
    await spare_number(clinic, Patient, context.caller)
    return Done()
