"""The university's backend: whose record it is, what may be done with a course, and that nothing is done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
import pytest_asyncio
from conversation import ManualClock

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.education import actions, studies, views
from agent.domains.education.store import open_education
from agent.domains.forms import CallerNumber, NewComplaint, Nothing
from agent.domains.proof import MOST_FAILED

CLOCK = ManualClock()
TODAY = CLOCK.wall().date()
AMARA, BEN, CHLOE, DIEGO, ELIF, FINN = "2048117", "2048118", "2048119", "2048120", "2048121", "2048122"
GRACE = "3051201"
NOTHING = Nothing()


def as_caller(number: str | None, key: str = "k") -> ActionContext:
    known = None if number is None else {"student_number": number}
    return ActionContext(call_id="c", key=key, clock=CLOCK, caller="+16145550121", customer=known)


def course(title: str) -> views.CourseName:
    return views.CourseName(course=title)


@pytest_asyncio.fixture
async def records() -> AsyncIterator[Backend]:
    backend = await open_education("sqlite+aiosqlite:///:memory:", CLOCK)
    yield backend
    await backend.close()


async def test_nobody_hears_of_a_record_unverified(records: Backend) -> None:
    for number in (None, "9999999"):
        with pytest.raises(LookupError, match="nobody is verified"):
            await actions.balance(records, NOTHING, as_caller(number))


async def test_wrong_proofs_lock_a_number(records: Backend) -> None:
    wrong = views.Proof(student_number=AMARA, birth_date=date(2000, 1, 1))
    outcomes = [(await actions.prove(records, wrong, as_caller(None))).outcome for _ in range(MOST_FAILED)]
    assert outcomes == ["wrong"] * (MOST_FAILED - 1) + ["locked"]
    right = views.Proof(student_number=AMARA, birth_date=date(2004, 5, 17))
    assert (await actions.prove(records, right, as_caller(None))).outcome == "locked"
    other = views.Proof(student_number=CHLOE, birth_date=date(2002, 2, 8))
    proven = await actions.prove(records, other, as_caller(None))
    assert (proven.proven, proven.name, proven.kind) == (True, "Chloe", "student")
    located = await actions.find_student(records, views.StudentNumber(student_number=AMARA), as_caller(None))
    assert (located.found, located.state) == (True, "locked")
    assert not (
        await actions.find_student(records, views.StudentNumber(student_number="1111111"), as_caller(None))
    ).found


@pytest.mark.parametrize(
    ("number", "title", "outcome"),
    [(AMARA, "Data Structures", "clash"), (AMARA, "Creative Writing", "open"), (AMARA, "Calculus", "already"),
     (AMARA, "Organic Chemistry", "requires"), (AMARA, "Psychology", "closed"),
     (AMARA, "Introduction to Programming", "already"), (CHLOE, "Introduction to Programming", "full"),
     (BEN, "World History", "hold"), (FINN, "World History", "no_student"), (AMARA, "Juggling", "closed")],
)  # fmt: skip
async def test_enrolment(records: Backend, number: str, title: str, outcome: str) -> None:
    assert (await studies.quote_enrol(records, course(title), as_caller(number))).outcome == outcome


async def test_a_place_is_taken_once_and_given_back(records: Backend) -> None:
    first = await studies.enrol(records, course("Creative Writing"), as_caller(AMARA, "one"))
    assert (first.outcome, first.total_credits) == ("enrolled", 16)
    assert await studies.enrol(records, course("Creative Writing"), as_caller(AMARA, "one")) == first
    assert (await studies.enrol(records, course("Creative Writing"), as_caller(AMARA, "two"))).outcome == "already"
    assert (await studies.enrol(records, course("Introduction to Programming"), as_caller(CHLOE))).outcome == "waiting"
    dropped = await studies.drop_course(records, course("Creative Writing"), as_caller(AMARA, "three"))
    assert (dropped.outcome, dropped.total_credits) == ("dropped", 14)
    again = await studies.enrol(records, course("Creative Writing"), as_caller(AMARA, "four"))
    assert again.outcome == "enrolled"


@pytest.mark.parametrize(
    ("number", "title", "outcome"),
    [(ELIF, "World History", "free"), (AMARA, "Calculus", "part_time"), (DIEGO, "Psychology", "late"),
     (CHLOE, "Calculus", "not_enrolled")],
)  # fmt: skip
async def test_dropping(records: Backend, number: str, title: str, outcome: str) -> None:
    assert (await studies.quote_drop(records, course(title), as_caller(number))).outcome == outcome


@pytest.mark.parametrize(
    ("number", "balance", "plan", "transcript", "library"),
    [(AMARA, "due", "possible", "possible", "clear"), (BEN, "overdue", "overdue", "hold", "both"),
     (CHLOE, "paid", "nothing_due", "possible", "clear"), (DIEGO, "plan", "already", "possible", "overdue"),
     (GRACE, "paid", "nothing_due", "no_student", "clear")],
)  # fmt: skip
async def test_money_and_papers(
    records: Backend, number: str, balance: str, plan: str, transcript: str, library: str
) -> None:
    context = as_caller(number)
    assert (await actions.balance(records, NOTHING, context)).state == balance
    assert (await actions.quote_plan(records, views.Parts(parts=4), context)).outcome == plan
    wish = views.TranscriptWish(form="paper")
    assert (await actions.quote_transcript(records, wish, context)).outcome == transcript
    assert (await actions.library(records, NOTHING, context)).state == library


async def test_a_plan_is_agreed_once(records: Backend) -> None:
    plan = await actions.agree_plan(records, views.Parts(parts=4), as_caller(AMARA, "one"))
    assert (plan.outcome, plan.part.minor, plan.fee.minor) == ("agreed", (245000 + 3500) // 4, 3500)
    assert await actions.agree_plan(records, views.Parts(parts=4), as_caller(AMARA, "one")) == plan
    assert (await actions.agree_plan(records, views.Parts(parts=2), as_caller(AMARA, "two"))).outcome == "already"
    assert (await actions.balance(records, NOTHING, as_caller(AMARA))).part == plan.part


async def test_books_are_renewed_unless_reserved_or_fined(records: Backend) -> None:
    outcomes = {
        number: (await actions.renew_loans(records, NOTHING, as_caller(number, number))).outcome
        for number in (AMARA, BEN, CHLOE, ELIF)
    }
    assert outcomes == {AMARA: "renewed", BEN: "fine", CHLOE: "some", ELIF: "none"}


async def test_a_password_link_goes_out_once_a_day(records: Backend) -> None:
    first = await actions.reset_password(records, NOTHING, as_caller(AMARA, "one"))
    assert first.outcome == "sent"
    again = await actions.reset_password(records, NOTHING, as_caller(AMARA, "two"))
    assert (again.outcome, again.number) == ("already", first.number)
    assert (await actions.reset_password(records, NOTHING, as_caller(ELIF, "three"))).outcome == "no_email"


async def test_an_appointment_replaces_the_one_before(records: Backend) -> None:
    assert (await studies.my_appointment(records, NOTHING, as_caller(CHLOE))).outcome == "have"
    offer = await studies.find_appointment(
        records, views.AppointmentWish(day=TODAY + timedelta(days=5)), as_caller(CHLOE)
    )
    assert (offer.day, offer.time, offer.adviser) == (TODAY + timedelta(days=9), "10:30", "Doctor Abara")
    take = views.AppointmentTaken(id=offer.id, topic="my thesis")
    assert (await studies.book_appointment(records, take, as_caller(CHLOE, "one"))).outcome == "have"
    assert (await studies.my_appointment(records, NOTHING, as_caller(CHLOE))).day == offer.day
    early = await studies.find_appointment(records, views.AppointmentWish(day=TODAY), as_caller(CHLOE))
    assert early.day == TODAY + timedelta(days=2)
    assert (await studies.book_appointment(records, take, as_caller(AMARA, "two"))).outcome == "none"
    assert (await studies.my_appointment(records, NOTHING, as_caller(GRACE))).outcome == "no_student"


async def test_timetable_and_exams(records: Backend) -> None:
    found = await studies.next_class(records, NOTHING, as_caller(AMARA))
    assert found.day is not None
    assert TODAY < found.day <= TODAY + timedelta(days=7)
    assert (await studies.next_class(records, NOTHING, as_caller(FINN))).outcome == "none"
    assert (await studies.class_of(records, course("Calculus"), as_caller(AMARA))).room == "Mill Hall 301"
    outcomes = [
        (await studies.exam(records, course(title), as_caller(AMARA))).outcome
        for title in ("Calculus", "Microeconomics", "World History", "Psychology")
    ]
    assert outcomes == ["scheduled", "later", "none", "not_enrolled"]


async def test_housing_leave_and_degree(records: Backend) -> None:
    states = [(await studies.housing(records, NOTHING, as_caller(n))).state for n in (AMARA, BEN, DIEGO, ELIF, FINN)]
    assert states == ["assigned", "applied", "waitlisted", "none", "no_student"]
    hall = views.HallWish(hall="Birch House")
    assert (await studies.apply_for_room(records, hall, as_caller(ELIF, "one"))).outcome == "waitlisted"
    assert (await studies.apply_for_room(records, hall, as_caller(ELIF, "two"))).outcome == "already"
    wish = views.LeaveWish(term="fall", reason="family")
    assert (await studies.request_leave(records, wish, as_caller(ELIF, "three"))).outcome == "requested"
    assert (await studies.quote_leave(records, NOTHING, as_caller(ELIF))).outcome == "already"
    degrees = [(await studies.degree(records, NOTHING, as_caller(n))).state for n in (AMARA, CHLOE, GRACE)]
    assert degrees == ["credits", "ready", "no_student"]
    assert (await studies.apply_to_graduate(records, NOTHING, as_caller(CHLOE, "four"))).outcome == "done"
    assert (await studies.degree(records, NOTHING, as_caller(CHLOE))).state == "applied"
    assert (await studies.apply_to_graduate(records, NOTHING, as_caller(AMARA, "five"))).outcome == "closed"


async def test_applications_and_profiles(records: Backend) -> None:
    states = [(await actions.application_status(records, NOTHING, as_caller(f"305120{n}"))).status for n in range(1, 6)]
    assert states == ["admitted", "missing_papers", "under_review", "waitlisted", "rejected"]
    assert (await actions.accept_place(records, NOTHING, as_caller(GRACE, "one"))).outcome == "done"
    assert (await actions.accept_place(records, NOTHING, as_caller(GRACE, "two"))).outcome == "already"
    assert (await actions.accept_place(records, NOTHING, as_caller(AMARA, "three"))).outcome == "closed"
    profile = await actions.find_caller(records, CallerNumber(phone="+16145550122"), as_caller(None))
    assert profile.open_items == ["a payment that is overdue", "a scholarship that waits for a paper"]
    await actions.stop_offers(records, NOTHING, as_caller(AMARA))
    assert (await actions.find_caller(records, CallerNumber(phone="+16145550121"), as_caller(None))).no_offers
    logged = await actions.log_complaint(records, NewComplaint(text="late again"), as_caller(None, "four"))
    assert logged.number == "4001"
