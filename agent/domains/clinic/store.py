"""The clinic's database: tables, and how it is opened."""

from __future__ import annotations

from datetime import date

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from agent.clock import Clock
from agent.domains.backend import Backend, open_backend
from agent.domains.people import Person
from agent.domains.requests import Asked


class Table(DeclarativeBase):
    """Base of the clinic's tables. Money is in cents of a dollar."""


class Patient(Person, Table):
    """A patient; `phone` is E.164, a parent's number for a child.

    bill_state: none, due, overdue, plan (paid in instalments) or collections.
    """

    __tablename__ = "patients"
    doctor: Mapped[str] = mapped_column(String(40))
    pharmacy: Mapped[str] = mapped_column(String(60))
    insurer: Mapped[str] = mapped_column(String(60))
    balance: Mapped[int]
    bill_state: Mapped[str] = mapped_column(String(20))
    bill_due_on: Mapped[date | None]
    pace: Mapped[float]


class Appointment(Table):
    """An appointment. status: booked or cancelled. time: "HH:MM".

    place: "doctor|day|time" while booked, so that nobody is booked twice there; None once cancelled.
    """

    __tablename__ = "appointments"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    doctor: Mapped[str] = mapped_column(String(40))
    visit: Mapped[str] = mapped_column(String(60))
    day: Mapped[date] = mapped_column(index=True)
    time: Mapped[str] = mapped_column(String(5))
    status: Mapped[str] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(String(200))
    place: Mapped[str | None] = mapped_column(String(80), unique=True)
    key: Mapped[str | None] = mapped_column(String(64), unique=True)


class Absence(Table):
    """Days on which a doctor sees nobody."""

    __tablename__ = "absences"
    id: Mapped[int] = mapped_column(primary_key=True)
    doctor: Mapped[str] = mapped_column(String(40), index=True)
    first: Mapped[date]
    last: Mapped[date]


class Prescription(Table):
    """A medicine that a patient takes.

    state: active, expired (a doctor must renew it), controlled (only at a visit), pending (a refill is on its way) or
    renewal (a doctor was asked).
    """

    __tablename__ = "prescriptions"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    medicine: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(20))
    refills: Mapped[int]
    refill_from: Mapped[date]
    key: Mapped[str | None] = mapped_column(String(64), unique=True)


class LabResult(Table):
    """A test that was taken. state: pending, ready or discussed."""

    __tablename__ = "lab_results"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    test: Mapped[str] = mapped_column(String(60))
    taken_on: Mapped[date]
    state: Mapped[str] = mapped_column(String(20))


class Referral(Table):
    """A referral to a specialist. state: requested, sent, approved or denied."""

    __tablename__ = "referrals"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    specialty: Mapped[str] = mapped_column(String(40))
    clinic: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(20))
    changed_on: Mapped[date]


class Vaccine(Table):
    """A vaccine; `least_age` in years, `price` without insurance."""

    __tablename__ = "vaccines"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    stock: Mapped[int]
    least_age: Mapped[int]
    price: Mapped[int]


class Request(Asked, Table):
    """Something a caller asked for that people work off.

    kind: call_back, pay_link, registration or complaint.
    """

    __tablename__ = "requests"
    patient_id: Mapped[int | None] = mapped_column(ForeignKey("patients.id"))
    due_on: Mapped[date | None]
    patient: Mapped[Patient | None] = relationship(lazy="joined")


async def open_clinic(url: str, clock: Clock) -> Backend:
    """Open the clinic at a SQLAlchemy `url`, creating and seeding it if it has no tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    from agent.domains.clinic.seed import seed_if_empty

    return await open_backend(url, clock, Table.metadata, seed_if_empty)
