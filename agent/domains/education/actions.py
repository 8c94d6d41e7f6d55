"""Who calls, and the caller's money and papers. Every change is one transaction that checks where it starts.

Only the verified student's own record is spoken of or changed. What was done is kept by idempotency key, so that the
same request again gives the same answer and nothing happens twice.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import today
from agent.domains.counts import counted
from agent.domains.education.ledger import caller, changes
from agent.domains.education.store import Student
from agent.domains.education.views import (
    ApplicationState,
    Balance,
    Done,
    Grant,
    Library,
    Located,
    Parts,
    Person,
    Plan,
    Proof,
    Renewed,
    StudentNumber,
    Ticket,
    Transcript,
    TranscriptWish,
)
from agent.domains.forms import CallerNumber, Logged, NewComplaint, Nothing, Profile
from agent.domains.money import Money
from agent.domains.people import profile_of, spare_client

PLAN_FEE = 3500
"""Cents for a payment plan; the knowledge files say the same."""
PLAN_FROM = 50000
"""Cents owed from which a payment plan is offered."""
TRANSCRIPT = {"electronic": 0, "paper": 1200}
TRANSCRIPT_DAYS = {"electronic": 1, "paper": 5}
RENEW_DAYS = 14


async def find_caller(backend: Backend, arguments: CallerNumber, context: ActionContext) -> Profile:
    """What is known of who calls from this number."""
    async with backend.session() as session:
        student = await session.scalar(select(Student).where(Student.phone == (arguments.phone or "")))
        if student is None:
            return Profile()
        items = []
        if student.application is not None and student.application.status == "missing_papers":
            items.append("a paper that is missing from your application")
        if student.due and student.due_on is not None and student.due_on < today(context):
            items.append("a payment that is overdue")
        if student.scholarship is not None and student.scholarship.status == "needs_paper":
            items.append("a scholarship that waits for a paper")
        return Profile(**profile_of(student), open_items=items)


async def find_student(backend: Backend, arguments: StudentNumber, context: ActionContext) -> Located:
    """Say whether there is such a number, and nothing else of it."""
    async with backend.session() as session:
        student = await session.get(Student, arguments.student_number)
        if student is None:
            return Located(found=False)
        return Located(found=True, state="locked" if student.locked else "open")


async def prove(backend: Backend, arguments: Proof, context: ActionContext) -> Person:
    """Compare the date of birth with the record; wrong ones are counted, and too many lock it."""
    async with backend.session() as session, session.begin():
        student = await session.get(Student, arguments.student_number)
        if student is None:
            return Person(outcome="wrong")
        outcome = student.judged(arguments.birth_date == student.birth_date)
        if outcome != "proven":
            return Person(outcome=outcome)
        return Person(
            outcome="proven", proven=True, student_number=student.number, name=student.first_name, kind=student.kind
        )


async def application_status(backend: Backend, arguments: Nothing, context: ActionContext) -> ApplicationState:
    """Where the caller's application is."""
    async with backend.session() as session:
        application = (await caller(session, context)).application
        if application is None:
            return ApplicationState(status="none")
        return ApplicationState(
            status=application.status,
            programme=application.programme,
            missing=application.missing or "",
            next_on=application.next_on,
        )


async def accept_place(backend: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Take the place that was offered."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Done):
            return done
        student = await caller(session, context)
        if student.application is None or student.application.status != "admitted":
            return Done(outcome="closed")
        if await changes.earlier(session, student.number, "accept_place"):
            return Done(outcome="already")
        return changes.kept(session, context, student.number, "accept_place", arguments, Done(outcome="done"))


async def balance(backend: Backend, arguments: Nothing, context: ActionContext) -> Balance:
    """What the caller owes for tuition."""
    async with backend.session() as session:
        student = await caller(session, context)
        if not student.due:
            return Balance(state="paid")
        overdue = student.due_on is not None and student.due_on < today(context)
        state = "plan" if student.plan_parts else "overdue" if overdue else "due"
        return Balance(
            state=state,
            due=Money(minor=student.due),
            due_on=student.due_on,
            part=_part(student.due, student.plan_parts),
            offer_plan=state == "due" and student.due >= PLAN_FROM,
        )


async def quote_plan(backend: Backend, arguments: Parts, context: ActionContext) -> Plan:
    """What a payment plan would be."""
    async with backend.session() as session:
        return _plan(await caller(session, context), arguments.parts, context)


async def agree_plan(backend: Backend, arguments: Parts, context: ActionContext) -> Plan:
    """Agree on a payment plan."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Plan):
            return done
        student = await caller(session, context)
        plan = _plan(student, arguments.parts, context)
        if plan.outcome != "possible":
            return plan
        student.plan_parts, student.due = arguments.parts, student.due + PLAN_FEE
        result = plan.model_copy(update={"outcome": "agreed"})
        return changes.kept(session, context, student.number, "plan", arguments, result)


async def quote_transcript(backend: Backend, arguments: TranscriptWish, context: ActionContext) -> Transcript:
    """What a transcript costs, and when it is sent."""
    async with backend.session() as session:
        return _transcript(await caller(session, context), arguments, context)


async def order_transcript(backend: Backend, arguments: TranscriptWish, context: ActionContext) -> Transcript:
    """Order a transcript; the caller has agreed to its release."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Transcript):
            return done
        student = await caller(session, context)
        result = _transcript(student, arguments, context)
        if result.outcome != "possible":
            return result
        student.due += result.fee.minor
        result.outcome = "ordered"
        return changes.kept(session, context, student.number, "transcript", arguments, result)


async def library(backend: Backend, arguments: Nothing, context: ActionContext) -> Library:
    """Fines and loans."""
    async with backend.session() as session:
        student = await caller(session, context)
        late = [loan for loan in student.loans if loan.due_on < today(context)]
        first = min((loan.due_on for loan in student.loans), default=None)
        state = "both" if late and student.fine else "fine" if student.fine else "overdue" if late else "clear"
        return Library(
            state=state,
            fine=Money(minor=student.fine),
            book=late[0].book if late else "",
            count_spoken=counted(len(student.loans), "book"),
            next_due_on=first,
        )


async def renew_loans(backend: Backend, arguments: Nothing, context: ActionContext) -> Renewed:
    """Renew every book that nobody else waits for; not while a fine is open."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Renewed):
            return done
        student = await caller(session, context)
        if not student.loans:
            return Renewed(outcome="none")
        if student.fine:
            return Renewed(outcome="fine")
        free = [loan for loan in student.loans if not loan.reserved]
        kept_back = next((loan.book for loan in student.loans if loan.reserved), "")
        if not free:
            return Renewed(outcome="reserved", book=kept_back)
        until = today(context) + timedelta(days=RENEW_DAYS)
        for loan in free:
            loan.due_on = until
        result = Renewed(
            outcome="some" if kept_back else "renewed",
            count_spoken=counted(len(free), "book"),
            due_on=until,
            book=kept_back,
        )
        return changes.kept(session, context, student.number, "renewal", arguments, result)


async def reset_password(backend: Backend, arguments: Nothing, context: ActionContext) -> Ticket:
    """Send a link to the private e-mail address on record, once a day."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Ticket):
            return done
        student = await caller(session, context)
        if student.private_email is None:
            return Ticket(outcome="no_email")
        before = await changes.earlier(session, student.number, "password")
        if before is not None and before.created_at.date() == today(context):
            return Ticket(outcome="already", number=Ticket.model_validate_json(before.result).number)
        result = Ticket(outcome="sent", number=str(6001 + await changes.count_of(session, "password")))
        return changes.kept(session, context, student.number, "password", arguments, result)


async def scholarship(backend: Backend, arguments: Nothing, context: ActionContext) -> Grant:
    """Where the caller's scholarship is."""
    async with backend.session() as session:
        grant = (await caller(session, context)).scholarship
        if grant is None:
            return Grant(status="none")
        return Grant(
            status=grant.status,
            name=grant.name,
            amount=Money(minor=grant.amount),
            paper=grant.paper or "",
            next_on=grant.next_on,
        )


async def stop_offers(backend: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Make no more offers to this caller."""
    mine = Student.number == str((context.customer or {}).get("student_number", ""))
    return Done(outcome="done" if await spare_client(backend, Student, context, mine) else "closed")


async def log_complaint(backend: Backend, arguments: NewComplaint, context: ActionContext) -> Logged:
    """Record a complaint, with who complains where that is known."""
    async with backend.session() as session, session.begin():
        if done := await changes.repeated(session, context, Logged):
            return done
        number = (context.customer or {}).get("student_number")
        result = Logged(number=str(4001 + await changes.count_of(session, "complaint")))
        return changes.kept(session, context, number, "complaint", arguments, result)


def _part(due: int, parts: int) -> Money:
    return Money(minor=-(-due // parts) if parts else 0)


def _plan(student: Student, parts: int, context: ActionContext) -> Plan:
    if not student.due:
        return Plan(outcome="nothing_due")
    if student.plan_parts:
        return Plan(outcome="already", parts=student.plan_parts, part=_part(student.due, student.plan_parts))
    if student.due_on is not None and student.due_on < today(context):
        return Plan(outcome="overdue")
    return Plan(
        outcome="possible",
        parts=parts,
        part=_part(student.due + PLAN_FEE, parts),
        fee=Money(minor=PLAN_FEE),
        first_on=student.due_on,
    )


def _transcript(student: Student, wish: TranscriptWish, context: ActionContext) -> Transcript:
    if student.kind == "applicant":
        return Transcript(outcome="no_student")
    if student.due and student.due_on is not None and student.due_on < today(context) and not student.plan_parts:
        return Transcript(outcome="hold")
    return Transcript(
        outcome="possible",
        fee=Money(minor=TRANSCRIPT[wish.form]),
        ready_on=today(context) + timedelta(days=TRANSCRIPT_DAYS[wish.form]),
    )
