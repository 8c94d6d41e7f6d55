"""Courses, examinations, advising, halls, leave and degrees."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import today
from agent.domains.counts import counted
from agent.domains.education.ledger import caller, changes
from agent.domains.education.store import Appointment, Course, Enrolment, Room, Student
from agent.domains.education.views import (
    Applied,
    AppointmentOffer,
    AppointmentTaken,
    AppointmentWish,
    Class,
    CourseName,
    Degree,
    Done,
    Drop,
    Dropped,
    Enrol,
    Enrolled,
    Exam,
    HallWish,
    Housing,
    Leave,
    LeaveWish,
)
from agent.domains.forms import Nothing
from agent.domains.money import Money

FULL_TIME = 12
"""Credits a term from which a student counts as full-time; the knowledge files say the same."""
RENT = {"Elm Hall": 62000, "Birch House": 54000, "Cedar Court": 78000}
"""Cents a month."""
FULL_HALLS = ("Birch House",)
HALL_DAYS = 14
DEAN_DAYS = 10
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


async def quote_enrol(backend: Backend, arguments: CourseName, context: ActionContext) -> Enrol:
    """Whether the caller can take a course."""
    async with backend.session() as session:
        return await _enrol(session, await caller(session, context), arguments.course, context)


async def enrol(backend: Backend, arguments: CourseName, context: ActionContext) -> Enrolled:
    """Take a course, or a place on its waiting list when it is full."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Enrolled):
            return done
        student = await caller(session, context)
        quote = await _enrol(session, student, arguments.course, context)
        if quote.outcome not in ("open", "full"):
            return Enrolled(outcome=quote.outcome, course=quote.course)
        status = "enrolled" if quote.outcome == "open" else "waiting"
        if status == "enrolled":
            took = await session.execute(
                update(Course)
                .where(Course.title == quote.course, Course.free_seats > 0)
                .values(free_seats=Course.free_seats - 1)
                .returning(Course.title)
            )
            status = "enrolled" if took.first() is not None else "waiting"
        before = next((row for row in student.enrolments if row.title == quote.course), None)
        if before is not None:
            before.status = status
        else:
            session.add(Enrolment(number=student.number, title=quote.course, status=status))
        total = _credits(student) + (quote.credits if status == "enrolled" and before is None else 0)
        result = Enrolled(outcome=status, course=quote.course, total_credits=total)
        return changes.kept(session, context, student.number, "enrolment", arguments, result)


async def quote_drop(backend: Backend, arguments: CourseName, context: ActionContext) -> Drop:
    """What dropping a course means."""
    async with backend.session() as session:
        return _drop(await caller(session, context), arguments.course, context)


async def drop_course(backend: Backend, arguments: CourseName, context: ActionContext) -> Dropped:
    """Drop a course; after its last day for changes it stays on the record as withdrawn."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Dropped):
            return done
        student = await caller(session, context)
        quote = _drop(student, arguments.course, context)
        if quote.outcome not in ("free", "part_time", "late"):
            return Dropped(outcome=quote.outcome, course=arguments.course)
        row = next(row for row in student.enrolments if row.title == arguments.course)
        row.status = "withdrawn" if quote.outcome == "late" else "dropped"
        if row.status == "dropped":
            row.course.free_seats += 1
        result = Dropped(outcome=row.status, course=row.title, total_credits=_credits(student))
        return changes.kept(session, context, student.number, "drop", arguments, result)


async def next_class(backend: Backend, arguments: Nothing, context: ActionContext) -> Class:
    """The caller's next class from tomorrow on, and how many there are a week."""
    async with backend.session() as session:
        taken = [row.course for row in _taken(await caller(session, context))]
        if not taken:
            return Class(outcome="none")
        start = today(context) + timedelta(days=1)
        day, course = min(((_next(course, start), course) for course in taken), key=lambda one: (one[0], one[1].time))
        found = _class(course, "next")
        found.day, found.count_spoken = day, counted(len(taken), "class")
        return found


async def class_of(backend: Backend, arguments: CourseName, context: ActionContext) -> Class:
    """When and where a course of the caller's meets."""
    async with backend.session() as session:
        rows = _taken(await caller(session, context))
        row = next((row for row in rows if row.title == arguments.course), None)
        return _class(row.course, "course") if row else Class(outcome="not_enrolled", course=arguments.course)


async def exam(backend: Backend, arguments: CourseName, context: ActionContext) -> Exam:
    """When the examination of a course of the caller's is."""
    async with backend.session() as session:
        rows = _taken(await caller(session, context))
        row = next((row for row in rows if row.title == arguments.course), None)
        if row is None:
            return Exam(outcome="not_enrolled", course=arguments.course)
        course = row.course
        return Exam(outcome=course.exam, course=course.title, day=course.exam_on, time=course.exam_time or "")


async def housing(backend: Backend, arguments: Nothing, context: ActionContext) -> Housing:
    """The caller's place in a hall, if any."""
    async with backend.session() as session:
        student = await caller(session, context)
        if student.kind == "on_leave":
            return Housing(state="no_student")
        room = student.room
        if room is None:
            return Housing(state="none")
        return Housing(state=room.status, hall=room.hall, move_in_on=room.move_in_on, rent=Money(minor=RENT[room.hall]))


async def rent_of(backend: Backend, arguments: HallWish, context: ActionContext) -> Housing:
    """What a room in a hall costs; state is none (free) or waitlisted (full)."""
    state = "waitlisted" if arguments.hall in FULL_HALLS else "none"
    return Housing(state=state, hall=arguments.hall, rent=Money(minor=RENT[arguments.hall]))


async def apply_for_room(backend: Backend, arguments: HallWish, context: ActionContext) -> Applied:
    """Apply for a room; in a full hall that is a place on its waiting list."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Applied):
            return done
        student = await caller(session, context)
        if student.room is not None:
            return Applied(outcome="already", hall=student.room.hall)
        status = "waitlisted" if arguments.hall in FULL_HALLS else "applied"
        session.add(Room(number=student.number, hall=arguments.hall, status=status))
        result = Applied(outcome=status, hall=arguments.hall, answer_on=today(context) + timedelta(days=HALL_DAYS))
        return changes.kept(session, context, student.number, "housing", arguments, result)


async def my_appointment(backend: Backend, arguments: Nothing, context: ActionContext) -> AppointmentOffer:
    """The appointment that the caller has; none if there is none ahead."""
    async with backend.session() as session:
        student = await caller(session, context)
        if not student.adviser:
            return AppointmentOffer(outcome="no_student")
        mine = await _mine(session, student, today(context))
        return _offer("have", mine) if mine else AppointmentOffer(outcome="none")


async def find_appointment(backend: Backend, arguments: AppointmentWish, context: ActionContext) -> AppointmentOffer:
    """The adviser's first free time on that day or after it."""
    async with backend.session() as session:
        student = await caller(session, context)
        from_day = max(arguments.day, today(context) + timedelta(days=1))
        free = (
            select(Appointment)
            .where(Appointment.adviser == student.adviser, Appointment.number.is_(None), Appointment.day >= from_day)
            .order_by(Appointment.day, Appointment.time)
            .limit(1)
        )
        found = (await session.scalars(free)).first()
        return _offer("offer", found) if found else AppointmentOffer(outcome="none")


async def book_appointment(backend: Backend, arguments: AppointmentTaken, context: ActionContext) -> AppointmentOffer:
    """Take a time; one that the caller had before is given back."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, AppointmentOffer):
            return done
        student = await caller(session, context)
        took = await session.execute(
            update(Appointment)
            .where(
                Appointment.id == arguments.id,
                Appointment.adviser == student.adviser,
                Appointment.number.is_(None),
            )
            .values(number=student.number, topic=arguments.topic)
            .returning(Appointment.id)
        )
        if took.first() is None:
            return AppointmentOffer(outcome="none")
        await session.execute(
            update(Appointment)
            .where(Appointment.number == student.number, Appointment.id != arguments.id)
            .where(Appointment.day >= today(context))
            .values(number=None, topic=None)
        )
        taken = (await session.scalars(select(Appointment).where(Appointment.id == arguments.id))).one()
        return changes.kept(session, context, student.number, "appointment", arguments, _offer("have", taken))


async def quote_leave(backend: Backend, arguments: Nothing, context: ActionContext) -> Leave:
    """Whether the caller can ask for a term away."""
    async with backend.session() as session:
        return await _leave(session, await caller(session, context))


async def request_leave(backend: Backend, arguments: LeaveWish, context: ActionContext) -> Leave:
    """Ask the dean for a term away."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Leave):
            return done
        student = await caller(session, context)
        result = await _leave(session, student)
        if result.outcome != "possible":
            return result
        result = Leave(outcome="requested", answer_on=today(context) + timedelta(days=DEAN_DAYS))
        return changes.kept(session, context, student.number, "leave", arguments, result)


async def degree(backend: Backend, arguments: Nothing, context: ActionContext) -> Degree:
    """What the caller's degree still asks for."""
    async with backend.session() as session:
        student = await caller(session, context)
        left = max(0, student.credits_needed - student.credits)
        state = "applied" if student.graduating else "credits" if left else "missing" if student.missing else "ready"
        if student.kind == "applicant":
            state = "no_student"
        return Degree(
            state=state,
            credits=student.credits,
            needed=student.credits_needed,
            left=left,
            missing=student.missing or "",
            programme=student.programme,
        )


async def apply_to_graduate(backend: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Put the caller down for graduation."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Done):
            return done
        student = await caller(session, context)
        if student.graduating:
            return Done(outcome="already")
        if student.missing or student.credits < student.credits_needed:
            return Done(outcome="closed")
        student.graduating = True
        return changes.kept(session, context, student.number, "graduation", arguments, Done(outcome="done"))


async def _enrol(session: AsyncSession, student: Student, title: str, context: ActionContext) -> Enrol:
    course = await session.get(Course, title)
    if course is None or student.kind != "student":
        return Enrol(outcome="no_student" if student.kind != "student" else "closed", course=title)
    status = {row.title: row.status for row in student.enrolments}
    clash = next(
        (
            row.title
            for row in _taken(student)
            if (row.course.weekday, row.course.time) == (course.weekday, course.time) and row.title != title
        ),
        "",
    )
    quote = Enrol(
        outcome="open",
        course=title,
        credits=course.credits,
        meets=f"on {WEEKDAYS[course.weekday]}",
        time=course.time,
        room=course.room,
    )
    if status.get(title) in ("enrolled", "completed"):
        quote.outcome = "already"
    elif status.get(title) == "waiting":
        quote.outcome = "waiting"
    elif student.due and student.due_on is not None and student.due_on < today(context) and not student.plan_parts:
        quote.outcome = "hold"
    elif course.change_by < today(context):
        quote.outcome = "closed"
    elif course.requires and status.get(course.requires) != "completed":
        quote.outcome, quote.other = "requires", course.requires
    elif clash:
        quote.outcome, quote.other = "clash", clash
    elif course.free_seats <= 0:
        quote.outcome = "full"
    return quote


def _drop(student: Student, title: str, context: ActionContext) -> Drop:
    row = next((row for row in _taken(student) if row.title == title), None)
    if row is None:
        return Drop(outcome="not_enrolled", course=title)
    left = _credits(student) - row.course.credits
    outcome = "late" if row.course.change_by < today(context) else "part_time" if left < FULL_TIME else "free"
    return Drop(outcome=outcome, course=title, left_credits=left, change_by=row.course.change_by)


def _taken(student: Student) -> list[Enrolment]:
    return [row for row in student.enrolments if row.status == "enrolled"]


def _credits(student: Student) -> int:
    return sum(row.course.credits for row in _taken(student))


def _next(course: Course, start: date) -> date:
    return start + timedelta(days=(course.weekday - start.weekday()) % 7)


def _class(course: Course, outcome: str) -> Class:
    meets = f"on {WEEKDAYS[course.weekday]}"
    return Class(outcome=outcome, course=course.title, meets=meets, time=course.time, room=course.room)


async def _mine(session: AsyncSession, student: Student, now: date) -> Appointment | None:
    mine = select(Appointment).where(Appointment.number == student.number, Appointment.day >= now)
    return (await session.scalars(mine.order_by(Appointment.day).limit(1))).first()


def _offer(outcome: str, one: Appointment) -> AppointmentOffer:
    return AppointmentOffer(outcome=outcome, id=one.id, adviser=one.adviser, day=one.day, time=one.time)


async def _leave(session: AsyncSession, student: Student) -> Leave:
    if student.kind != "student":
        return Leave(outcome="on_leave" if student.kind == "on_leave" else "no_student")
    return Leave(outcome="already" if await changes.earlier(session, student.number, "leave") else "possible")
