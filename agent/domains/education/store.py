"""The student records: tables, and how they are opened."""

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
    """Base of the tables. Money is in cents of a dollar, times of day are "HH:MM"."""


class Student(Client, ProofCount, Table):
    """A student or applicant. kind: student, applicant or on_leave.

    `private_email` is where a password link may go; `due` is owed until `due_on`; `plan_parts` is how many monthly
    parts are agreed, 0 for none. `credits_needed` and `missing` are what the degree still asks for.
    """

    __tablename__ = "students"
    number: Mapped[str] = mapped_column(String(7), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    private_email: Mapped[str | None] = mapped_column(String(120))
    programme: Mapped[str] = mapped_column(String(60))
    adviser: Mapped[str] = mapped_column(String(40))
    credits: Mapped[int] = mapped_column(default=0)
    credits_needed: Mapped[int] = mapped_column(default=120)
    missing: Mapped[str | None] = mapped_column(String(80))
    graduating: Mapped[bool] = mapped_column(default=False)
    due: Mapped[int] = mapped_column(default=0)
    due_on: Mapped[date | None]
    plan_parts: Mapped[int] = mapped_column(default=0)
    fine: Mapped[int] = mapped_column(default=0)
    application: Mapped[Application | None] = relationship(lazy="joined")
    scholarship: Mapped[Scholarship | None] = relationship(lazy="joined")
    room: Mapped[Room | None] = relationship(lazy="joined")
    enrolments: Mapped[list[Enrolment]] = relationship(lazy="selectin", order_by="Enrolment.id")
    loans: Mapped[list[Loan]] = relationship(lazy="selectin", order_by="Loan.id")


class Application(Table):
    """An application for a place. status: missing_papers, under_review, admitted, waitlisted or rejected."""

    __tablename__ = "applications"
    number: Mapped[str] = mapped_column(ForeignKey("students.number"), primary_key=True)
    programme: Mapped[str] = mapped_column(String(60))
    status: Mapped[str] = mapped_column(String(20))
    missing: Mapped[str | None] = mapped_column(String(80))
    next_on: Mapped[date]


class Course(Table):
    """A course of this term. It meets once a week; `weekday` 0 is Monday.

    exam: scheduled, later (not fixed yet) or none. `requires` is the title of a course that must be completed before.
    """

    __tablename__ = "courses"
    title: Mapped[str] = mapped_column(String(60), primary_key=True)
    credits: Mapped[int]
    free_seats: Mapped[int]
    weekday: Mapped[int]
    time: Mapped[str] = mapped_column(String(5))
    room: Mapped[str] = mapped_column(String(40))
    requires: Mapped[str | None] = mapped_column(String(60))
    change_by: Mapped[date]
    exam: Mapped[str] = mapped_column(String(10))
    exam_on: Mapped[date | None]
    exam_time: Mapped[str | None] = mapped_column(String(5))


class Enrolment(Table):
    """A student in a course. status: enrolled, waiting, completed, dropped or withdrawn (dropped late)."""

    __tablename__ = "enrolments"
    __table_args__ = (UniqueConstraint("number", "title"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(ForeignKey("students.number"), index=True)
    title: Mapped[str] = mapped_column(ForeignKey("courses.title"))
    status: Mapped[str] = mapped_column(String(10))
    course: Mapped[Course] = relationship(lazy="joined")


class Loan(Table):
    """A book on loan; `reserved`: somebody else waits for it."""

    __tablename__ = "loans"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(ForeignKey("students.number"), index=True)
    book: Mapped[str] = mapped_column(String(80))
    due_on: Mapped[date]
    reserved: Mapped[bool] = mapped_column(default=False)


class Scholarship(Table):
    """Money granted or asked for. status: pending, needs_paper, approved, paid or declined."""

    __tablename__ = "scholarships"
    number: Mapped[str] = mapped_column(ForeignKey("students.number"), primary_key=True)
    name: Mapped[str] = mapped_column(String(60))
    amount: Mapped[int]
    status: Mapped[str] = mapped_column(String(12))
    paper: Mapped[str | None] = mapped_column(String(80))
    next_on: Mapped[date]


class Room(Table):
    """A place in a student hall. status: applied, waitlisted or assigned."""

    __tablename__ = "rooms"
    number: Mapped[str] = mapped_column(ForeignKey("students.number"), primary_key=True)
    hall: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(12))
    move_in_on: Mapped[date | None]


class Appointment(Table):
    """A time an adviser has; `number` is the student who took it."""

    __tablename__ = "appointments"
    id: Mapped[int] = mapped_column(primary_key=True)
    adviser: Mapped[str] = mapped_column(String(40), index=True)
    day: Mapped[date]
    time: Mapped[str] = mapped_column(String(5))
    number: Mapped[str | None] = mapped_column(ForeignKey("students.number"))
    topic: Mapped[str | None] = mapped_column(String(300))


class Change(Kept, Table):
    """Something that was done for a caller."""

    __tablename__ = "changes"
    about: Mapped[str | None] = mapped_column("number", String(7), index=True)


async def open_education(url: str, clock: Clock) -> Backend:
    """Open the records at a SQLAlchemy `url`, creating and seeding them if there are no tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    from agent.domains.education.seed import seed

    return await open_backend(url, clock, Table.metadata, seed)
