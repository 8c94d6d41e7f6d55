"""The front desk: insurance, bills, new patients and complaints."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.clinic.identity import patient_of
from agent.domains.clinic.store import Patient, Request
from agent.domains.forms import ComplaintLogged, NewComplaint, Nothing
from agent.domains.money import Money
from agent.domains.names import same_name
from agent.domains.requests import put_request

INSURERS = {
    "Blue Harbor Health": "accepted",
    "Summit Care": "accepted",
    "Evergreen Mutual": "accepted",
    "Coastal Family Plan": "accepted",
    "Medicare": "accepted",
    "Medicaid": "children",
    "Pioneer Plan": "referral",
    "Golden Gate Choice": "refused",
    "Northline Direct": "refused",
    "no insurance": "none",
}
"""How insurers are taken: accepted, children (under 18), referral (only when referred), refused or none."""


class InsurerName(BaseModel):
    """An insurer as the caller named it."""

    insurer: str


class InsurerView(BaseModel):
    """state: accepted, children, referral, refused, none or unknown."""

    state: str
    insurer: str


class Balance(BaseModel):
    """What the patient owes. state: none, due, overdue, plan or collections."""

    state: str
    amount: Money
    due_on: date | None = None
    phone_end: str = ""


class LinkSent(BaseModel):
    """A link for paying went out as a text message."""

    phone_end: str
    amount: Money


class NewPatient(BaseModel):
    """Somebody who wants to become a patient."""

    name: str = Field(min_length=1, max_length=200)
    birth_date: date
    phone: str = Field(pattern=r"^\+\d{8,15}$")
    insurer: str


class Registered(BaseModel):
    """outcome: registered, or known (there is a patient of that name and date of birth)."""

    outcome: str
    number: int = 0


async def check_insurer(clinic: Backend, arguments: InsurerName, context: ActionContext) -> InsurerView:
    """Tell whether an insurer is accepted."""
    return InsurerView(state=INSURERS.get(arguments.insurer, "unknown"), insurer=arguments.insurer)


async def my_balance(clinic: Backend, arguments: Nothing, context: ActionContext) -> Balance:
    """Tell what the patient owes."""
    async with clinic.session() as session:
        patient = await session.get_one(Patient, patient_of(context))
    return Balance(
        state=patient.bill_state,
        amount=Money(minor=patient.balance),
        due_on=patient.bill_due_on,
        phone_end=patient.phone[-4:],
    )


async def send_pay_link(clinic: Backend, arguments: Nothing, context: ActionContext) -> LinkSent:
    """Send the patient a text message with a link for paying the balance."""
    async with clinic.session() as session:
        patient = await session.get_one(Patient, patient_of(context))
    text = f"pay {patient.balance} cents"
    await put_request(clinic, Request, context, "pay_link", text, patient_id=patient.id, phone=patient.phone)
    return LinkSent(phone_end=patient.phone[-4:], amount=Money(minor=patient.balance))


async def register(clinic: Backend, arguments: NewPatient, context: ActionContext) -> Registered:
    """Record somebody as a new patient, unless a patient of that name and date of birth is there."""
    async with clinic.session() as session:
        same = select(Patient).where(Patient.birth_date == arguments.birth_date)
        if any(same_name(arguments.name, one.name) for one in (await session.scalars(same)).all()):
            return Registered(outcome="known")
    text = f"{arguments.name}, born {arguments.birth_date}, insured with {arguments.insurer}"
    number = await put_request(clinic, Request, context, "registration", text, phone=arguments.phone)
    return Registered(outcome="registered", number=number)


async def log_complaint(clinic: Backend, arguments: NewComplaint, context: ActionContext) -> ComplaintLogged:
    """Record a complaint, of the patient if one is proven."""
    patient = None if context.customer is None else patient_of(context)
    number = await put_request(
        clinic, Request, context, "complaint", arguments.text, patient_id=patient, phone=context.caller
    )
    return ComplaintLogged(number=number)
