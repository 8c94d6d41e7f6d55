"""The city's database: tables, and how it is opened."""

from __future__ import annotations

from datetime import date

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from agent.clock import Clock
from agent.domains.backend import Backend, open_backend
from agent.domains.people import Person
from agent.domains.requests import Asked


class Table(DeclarativeBase):
    """Base of the city's tables. Money is in cents of a dollar."""


class Resident(Person, Table):
    """A resident; `phone` is E.164.

    library: none, active, expired or blocked (fines are open). tax_state: none, due, overdue, paid or plan.
    """

    __tablename__ = "residents"
    address: Mapped[str] = mapped_column(String(200))
    moved_on: Mapped[date | None]
    library: Mapped[str] = mapped_column(String(20))
    library_fines: Mapped[int]
    tax: Mapped[int]
    tax_state: Mapped[str] = mapped_column(String(20))
    tax_due_on: Mapped[date | None]


class Report(Table):
    """Something out of order in the streets. state: received, scheduled, in_progress, done or declined.

    phone: where text messages about it go, if they are wanted.
    """

    __tablename__ = "reports"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(6), unique=True)
    problem: Mapped[str] = mapped_column(String(40))
    place: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20))
    due_on: Mapped[date]
    phone: Mapped[str | None] = mapped_column(String(20))
    key: Mapped[str | None] = mapped_column(String(64), unique=True)


class Ticket(Table):
    """A parking ticket. state: open, overdue, paid, disputed or dismissed."""

    __tablename__ = "tickets"
    number: Mapped[str] = mapped_column(String(7), primary_key=True)
    offence: Mapped[str] = mapped_column(String(80))
    amount: Mapped[int]
    issued_on: Mapped[date]
    due_on: Mapped[date]
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(1000))
    key: Mapped[str | None] = mapped_column(String(64), unique=True)


class Permit(Table):
    """A permit that was applied for. state: review, approved, missing, inspection, denied or expired."""

    __tablename__ = "permits"
    number: Mapped[str] = mapped_column(String(8), primary_key=True)
    kind: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(20))
    missing: Mapped[str] = mapped_column(String(120))
    changed_on: Mapped[date]


class Benefit(Table):
    """An application for a benefit. state: received, review, missing, approved or denied."""

    __tablename__ = "benefits"
    id: Mapped[int] = mapped_column(primary_key=True)
    resident_id: Mapped[int] = mapped_column(ForeignKey("residents.id"), index=True)
    program: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(20))
    missing: Mapped[str] = mapped_column(String(120))
    changed_on: Mapped[date]


class Pickup(Table):
    """A pickup of bulky waste; `address` in lower case."""

    __tablename__ = "pickups"
    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(200), index=True)
    item: Mapped[str] = mapped_column(String(200))
    day: Mapped[date] = mapped_column(index=True)
    fee: Mapped[int]
    key: Mapped[str | None] = mapped_column(String(64), unique=True)


class Visit(Table):
    """An appointment at an office. place: "office|day|time", so that nobody is booked twice there."""

    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    office: Mapped[str] = mapped_column(String(40), index=True)
    day: Mapped[date]
    time: Mapped[str] = mapped_column(String(5))
    name: Mapped[str] = mapped_column(String(200))
    phone: Mapped[str] = mapped_column(String(20))
    place: Mapped[str] = mapped_column(String(80), unique=True)
    key: Mapped[str | None] = mapped_column(String(64), unique=True)


class Request(Asked, Table):
    """Something a caller asked for that people work off.

    kind: complaint, noise, pay_link, library_card or birth_certificate.
    """

    __tablename__ = "requests"
    resident_id: Mapped[int | None] = mapped_column(ForeignKey("residents.id"))


async def open_government(url: str, clock: Clock) -> Backend:
    """Open the city at a SQLAlchemy `url`, creating and seeding it if it has no tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    from agent.domains.government.seed import seed_if_empty

    return await open_backend(url, clock, Table.metadata, seed_if_empty)
