"""The travel agency's database: tables, and how it is opened."""

from __future__ import annotations

from datetime import date

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from agent.clock import Clock
from agent.domains.backend import Backend, open_backend
from agent.domains.ledger import Kept
from agent.domains.people import Client
from agent.domains.proof import ProofCount


class Table(DeclarativeBase):
    """Base of the agency's tables. Money is in cents of a dollar, times of day are local as "HH:MM"."""


class Customer(Client, Table):
    """Who booked. `tier` is blue, silver or gold."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    tier: Mapped[str] = mapped_column(String(10))
    points: Mapped[int]
    points_expire_on: Mapped[date]


class Route(Table):
    """A flight of the timetable. `days` holds the weekdays it flies on, Monday is 0."""

    __tablename__ = "routes"
    number: Mapped[str] = mapped_column(String(3), primary_key=True)
    airline: Mapped[str] = mapped_column(String(40))
    origin: Mapped[str] = mapped_column(String(40), index=True)
    destination: Mapped[str] = mapped_column(String(40))
    departs: Mapped[str] = mapped_column(String(5))
    arrives: Mapped[str] = mapped_column(String(5))
    days: Mapped[str] = mapped_column(String(7))
    abroad: Mapped[bool]


class Departure(Table):
    """What is special about a flight on a day. status: on_time, delayed, cancelled, boarding or landed."""

    __tablename__ = "departures"
    __table_args__ = (UniqueConstraint("number", "day"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(ForeignKey("routes.number"))
    day: Mapped[date]
    status: Mapped[str] = mapped_column(String(12))
    delay_minutes: Mapped[int] = mapped_column(default=0)
    gate: Mapped[str | None] = mapped_column(String(5))
    full: Mapped[bool] = mapped_column(default=False)


class Booking(ProofCount, Table):
    """A trip: flights, a hotel stay, or both. status: confirmed, cancelled or flown.

    fare is light, standard or flex. changed_by_airline: the airline moved a flight, so that changes and cancelling are
    free. assistance is what was asked for. papers: a person must see the passport before the check-in.
    """

    __tablename__ = "bookings"
    reference: Mapped[str] = mapped_column(String(6), primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    status: Mapped[str] = mapped_column(String(12))
    fare: Mapped[str] = mapped_column(String(10))
    total: Mapped[int]
    booked_on: Mapped[date]
    seat: Mapped[str | None] = mapped_column(String(20))
    bags: Mapped[int] = mapped_column(default=0)
    checked_in: Mapped[bool] = mapped_column(default=False)
    changed_by_airline: Mapped[bool] = mapped_column(default=False)
    papers: Mapped[bool] = mapped_column(default=False)
    covered: Mapped[bool] = mapped_column(default=False)
    assistance: Mapped[str | None] = mapped_column(String(40))
    customer: Mapped[Customer] = relationship(lazy="joined")
    legs: Mapped[list[Leg]] = relationship(lazy="selectin", order_by="Leg.position")
    stay: Mapped[Stay | None] = relationship(lazy="joined")


class Leg(Table):
    """A flight of a booking; `position` counts from 0, `back` marks the way home."""

    __tablename__ = "legs"
    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(ForeignKey("bookings.reference"), index=True)
    position: Mapped[int]
    number: Mapped[str] = mapped_column(ForeignKey("routes.number"))
    day: Mapped[date]
    back: Mapped[bool] = mapped_column(default=False)
    route: Mapped[Route] = relationship(lazy="joined")


class Stay(Table):
    """A hotel stay. `flexible`: its dates may be changed until two days before. `night` is the price of one."""

    __tablename__ = "stays"
    reference: Mapped[str] = mapped_column(ForeignKey("bookings.reference"), primary_key=True)
    hotel: Mapped[str] = mapped_column(String(60))
    city: Mapped[str] = mapped_column(String(40))
    arrival: Mapped[date]
    nights: Mapped[int]
    night: Mapped[int]
    flexible: Mapped[bool]


class Refund(Table):
    """Money on its way back. status: requested, approved or sent; `due_on` is when it is (or was) there."""

    __tablename__ = "refunds"
    reference: Mapped[str] = mapped_column(ForeignKey("bookings.reference"), primary_key=True)
    amount: Mapped[int]
    status: Mapped[str] = mapped_column(String(10))
    due_on: Mapped[date]


class Change(Kept, Table):
    """Something that was done for a caller."""

    __tablename__ = "changes"
    about: Mapped[str | None] = mapped_column("reference", String(6), index=True)


async def open_travel(url: str, clock: Clock) -> Backend:
    """Open the agency at a SQLAlchemy `url`, creating and seeding it if it has no tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    from agent.domains.travel.seed import seed

    return await open_backend(url, clock, Table.metadata, seed)
