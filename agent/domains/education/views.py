"""What the university's actions take and give. Days are ISO dates, times of day "HH:MM", money in minor units."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

from agent.domains.money import Money

Number = Field(pattern=r"^\d{7}$")


class StudentNumber(BaseModel):
    """Names a student or applicant."""

    student_number: str = Number


class Located(BaseModel):
    """Whether there is such a number; `state` is open or locked (too many wrong dates of birth)."""

    found: bool
    state: str = ""


class Proof(StudentNumber):
    """The date of birth for a number."""

    birth_date: date


class Person(BaseModel):
    """Who a proof was right for. outcome: proven, wrong or locked; kind: student, applicant or on_leave."""

    outcome: str
    proven: bool = False
    student_number: str = ""
    name: str = ""
    kind: str = ""


class ApplicationState(BaseModel):
    """status: missing_papers, under_review, admitted, waitlisted, rejected or none."""

    status: str
    programme: str = ""
    missing: str = ""
    next_on: date | None = None


class CourseName(BaseModel):
    """Names a course by its title."""

    course: str = Field(max_length=60)


class Enrol(BaseModel):
    """A place in a course. outcome: open, full, hold, already, waiting, requires, clash, closed, or no_student.

    `meets` is "on Tuesdays"; `other` is the course that is required, or that is at the same time.
    """

    outcome: str
    course: str = ""
    credits: int = 0
    meets: str = ""
    time: str = ""
    room: str = ""
    other: str = ""


class Enrolled(BaseModel):
    """outcome: enrolled, waiting, or why not (as in `Enrol`)."""

    outcome: str
    course: str = ""
    total_credits: int = 0


class Drop(BaseModel):
    """What dropping a course means. outcome: free, part_time (below full time), late, not_enrolled or no_student."""

    outcome: str
    course: str = ""
    left_credits: int = 0
    change_by: date | None = None


class Dropped(BaseModel):
    """outcome: dropped, withdrawn (late, stays on the record) or not_enrolled."""

    outcome: str
    course: str = ""
    total_credits: int = 0


class Balance(BaseModel):
    """What is owed. state: paid, due, overdue or plan. `part` is one monthly part of a plan."""

    state: str
    due: Money = Money(minor=0)
    due_on: date | None = None
    part: Money = Money(minor=0)
    offer_plan: bool = False


class Parts(BaseModel):
    """In how many monthly parts to pay."""

    parts: int = Field(ge=2, le=5)


class Plan(BaseModel):
    """A payment plan. outcome: possible, agreed, already, nothing_due or overdue."""

    outcome: str
    parts: int = 0
    part: Money = Money(minor=0)
    fee: Money = Money(minor=0)
    first_on: date | None = None


class TranscriptWish(BaseModel):
    """form: electronic or paper; `address` for paper."""

    form: Literal["electronic", "paper"]
    address: str | None = Field(default=None, max_length=200)


class Transcript(BaseModel):
    """outcome: possible, ordered, hold or no_student. `ready_on`: when it is sent."""

    outcome: str
    fee: Money = Money(minor=0)
    ready_on: date | None = None


class Class(BaseModel):
    """A class of the week. outcome: course, next, not_enrolled or none."""

    outcome: str
    course: str = ""
    meets: str = ""
    day: date | None = None
    time: str = ""
    room: str = ""
    count_spoken: str = ""


class Exam(BaseModel):
    """An examination. outcome: scheduled, later, none or not_enrolled."""

    outcome: str
    course: str = ""
    day: date | None = None
    time: str = ""


class Library(BaseModel):
    """The library account. state: clear, fine, overdue or both. `count_spoken` is "one book"."""

    state: str
    fine: Money = Money(minor=0)
    book: str = ""
    count_spoken: str = ""
    next_due_on: date | None = None


class Renewed(BaseModel):
    """outcome: renewed, some (not those that are reserved), reserved, fine or none."""

    outcome: str
    count_spoken: str = ""
    due_on: date | None = None
    book: str = ""


class HallWish(BaseModel):
    """The hall to live in."""

    hall: Literal["Elm Hall", "Birch House", "Cedar Court"]


class Housing(BaseModel):
    """A place in a hall. state: none, applied, waitlisted, assigned or no_student."""

    state: str
    hall: str = ""
    move_in_on: date | None = None
    rent: Money = Money(minor=0)


class Applied(BaseModel):
    """outcome: applied, waitlisted or already."""

    outcome: str
    hall: str = ""
    answer_on: date | None = None


class AppointmentWish(BaseModel):
    """From which day on an appointment is wanted."""

    day: date


class AppointmentOffer(BaseModel):
    """outcome: offer, have (there is one already), none or no_student. `id` names the time."""

    outcome: str
    id: int = 0
    adviser: str = ""
    day: date | None = None
    time: str = ""


class AppointmentTaken(BaseModel):
    """The time to take, and what it is about."""

    id: int
    topic: str = Field(max_length=300)


class Ticket(BaseModel):
    """outcome: sent, no_email or already (one was sent today)."""

    outcome: str
    number: str = ""


class Grant(BaseModel):
    """status: pending, needs_paper, approved, paid, declined or none."""

    status: str
    name: str = ""
    amount: Money = Money(minor=0)
    paper: str = ""
    next_on: date | None = None


class LeaveWish(BaseModel):
    """The term to be away, and why."""

    term: Literal["fall", "spring"]
    reason: str = Field(max_length=300)


class Leave(BaseModel):
    """outcome: possible, requested, already, on_leave or no_student. `answer_on`: when the dean decides."""

    outcome: str
    answer_on: date | None = None


class Degree(BaseModel):
    """How far a degree is. state: ready, applied, credits, missing or no_student."""

    state: str
    credits: int = 0
    needed: int = 0
    left: int = 0
    missing: str = ""
    programme: str = ""


class Done(BaseModel):
    """outcome: done, already or closed."""

    outcome: str
