"""The university's made-up students and courses; the same for the same day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from agent.domains.backend import Backend
from agent.domains.education.store import (
    Application,
    Appointment,
    Course,
    Enrolment,
    Loan,
    Room,
    Scholarship,
    Student,
)

# number: (kind, first name, last name, date of birth, phone, private e-mail?, programme, adviser, more)
STUDENTS: dict[str, tuple[str, str, str, str, str, bool, str, str, dict[str, Any]]] = {
    "2048117": ("student", "Amara", "Osei", "2004-05-17", "+16145550121", True, "Computer Science", "Doctor Lindgren",
                {"credits": 48, "missing": "the writing seminar", "due": 245000, "due_in": 12,
                 "last_topic": "your room in Elm Hall"}),
    "2048118": ("student", "Ben", "Carver", "2003-11-29", "+16145550122", True, "Psychology", "Doctor Abara",
                {"credits": 60, "missing": "the senior thesis", "due": 120000, "due_in": -15, "fine": 1850}),
    "2048119": ("student", "Chloe", "Nakamura", "2002-02-08", "+16145550123", True, "History", "Doctor Abara",
                {"credits": 120, "no_offers": True}),
    "2048120": ("student", "Diego", "Ramos", "2003-08-14", "+16145550124", True, "Chemistry", "Doctor Lindgren",
                {"credits": 112, "missing": "the writing seminar", "due": 90000, "due_in": 20, "plan_parts": 3}),
    "2048121": ("student", "Elif", "Aydin", "2005-01-22", "+16145550125", False, "Economics", "Doctor Abara",
                {"credits": 15, "missing": "the writing seminar", "pace": 0.9}),
    "2048122": ("on_leave", "Finn", "Gallagher", "1999-06-30", "+16145550126", True, "History", "Doctor Lindgren",
                {"credits": 75, "missing": "the senior thesis"}),
    "2048123": ("student", "Kira", "Novak", "2001-10-05", "+16145550127", True, "Chemistry", "Doctor Abara",
                {"credits": 90, "missing": "the senior thesis", "failed_proofs": 5}),
    "3051201": ("applicant", "Grace", "Obi", "2007-03-03", "+16145550131", True, "Economics", "", {}),
    "3051202": ("applicant", "Hugo", "Lang", "2006-12-12", "+16145550132", True, "Computer Science", "", {}),
    "3051203": ("applicant", "Iris", "Moreau", "2007-09-09", "+16145550133", True, "Psychology", "", {}),
    "3051204": ("applicant", "Jonas", "Weber", "2006-04-18", "+16145550134", True, "Chemistry", "", {}),
    "3051205": ("applicant", "Lara", "Quinn", "2007-01-11", "+16145550135", True, "Economics", "", {}),
}  # fmt: skip
# number: (programme, status, what is missing, next date in days)
APPLICATIONS: dict[str, tuple[str, str, str | None, int]] = {
    "3051201": ("Economics", "admitted", None, 14),
    "3051202": ("Computer Science", "missing_papers", "your school certificate", 10),
    "3051203": ("Psychology", "under_review", None, 21),
    "3051204": ("Chemistry", "waitlisted", None, 30),
    "3051205": ("Economics", "rejected", None, -3),
}
# title: (credits, free seats, weekday, time, room, requires, change by in days, exam, exam in days, exam time)
COURSES: dict[str, tuple[int, int, int, str, str, str | None, int, str, int | None, str | None]] = {
    "Introduction to Statistics": (4, 12, 1, "10:00", "Mill Hall 204", None, 10, "scheduled", 25, "09:00"),
    "World History": (3, 20, 3, "11:00", "Chapel Room 2", None, 10, "none", None, None),
    "Microeconomics": (3, 9, 4, "10:00", "Mill Hall 110", None, 10, "later", None, None),
    "Calculus": (4, 5, 3, "09:00", "Mill Hall 301", None, 10, "scheduled", 28, "14:00"),
    "General Chemistry": (4, 7, 2, "13:00", "Lab 1", None, 10, "scheduled", 26, "09:00"),
    "Organic Chemistry": (4, 6, 0, "09:00", "Lab 3", "General Chemistry", 10, "scheduled", 29, "09:00"),
    "Introduction to Programming": (4, 0, 0, "14:00", "Byte House 12", None, 10, "scheduled", 24, "10:00"),
    "Data Structures": (4, 11, 1, "10:00", "Byte House 14", "Introduction to Programming", 10, "later", None, None),
    "Psychology": (3, 8, 4, "13:00", "Mill Hall 220", None, -3, "scheduled", 27, "11:00"),
    "Creative Writing": (2, 4, 2, "16:00", "Chapel Room 5", None, 10, "none", None, None),
}
# number: ((title, status), ...)
ENROLMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "2048117": (("Introduction to Statistics", "enrolled"), ("World History", "enrolled"),
                ("Microeconomics", "enrolled"), ("Calculus", "enrolled"), ("Introduction to Programming", "completed")),
    "2048118": (("Psychology", "enrolled"), ("Calculus", "enrolled"), ("Introduction to Statistics", "enrolled"),
                ("Creative Writing", "enrolled")),
    "2048119": (("Creative Writing", "enrolled"),),
    "2048120": (("Calculus", "enrolled"), ("General Chemistry", "enrolled"), ("Psychology", "enrolled"),
                ("Microeconomics", "enrolled")),
    "2048121": (("Calculus", "enrolled"), ("General Chemistry", "enrolled"),
                ("Introduction to Programming", "enrolled"), ("World History", "enrolled")),
}  # fmt: skip
# number: ((book, due in days, reserved), ...)
LOANS: dict[str, tuple[tuple[str, int, bool], ...]] = {
    "2048117": (("The Signal in the Data", 5, False),),
    "2048118": (("Minds in the Making", -12, False),),
    "2048119": (("A Short History of Rivers", 3, True), ("Towns of the Plain", 9, False)),
    "2048120": (("Bonds and Rings", -2, False),),
}
# number: (name, amount, status, paper, next date in days)
SCHOLARSHIPS: dict[str, tuple[str, int, str, str | None, int]] = {
    "2048117": ("Hillcrest Scholarship", 150000, "approved", None, 9),
    "2048118": ("Bridge Grant", 80000, "needs_paper", "your parents' tax statement", 15),
    "2048119": ("Founders Award", 200000, "paid", None, -20),
    "2048120": ("Bridge Grant", 80000, "pending", None, 18),
    "2048121": ("Hillcrest Scholarship", 150000, "declined", None, -8),
}
# number: (hall, status, move in days)
ROOMS: dict[str, tuple[str, str, int | None]] = {
    "2048117": ("Elm Hall", "assigned", 90),
    "2048120": ("Birch House", "waitlisted", None),
    "2048118": ("Cedar Court", "applied", None),
}
# (adviser, in days, time, taken by)
APPOINTMENTS: tuple[tuple[str, int, str, str | None], ...] = (
    ("Doctor Lindgren", 1, "10:00", None),
    ("Doctor Lindgren", 3, "14:30", None),
    ("Doctor Lindgren", 8, "11:00", None),
    ("Doctor Lindgren", 15, "09:30", None),
    ("Doctor Abara", 2, "15:00", "2048119"),
    ("Doctor Abara", 4, "13:00", None),
    ("Doctor Abara", 9, "10:30", None),
    ("Doctor Abara", 16, "16:00", None),
)


async def seed(backend: Backend) -> None:
    """Fill empty records; does nothing to records that have students."""
    today = backend.clock.wall().date()

    def day(ahead: int) -> date:
        return today + timedelta(days=ahead)

    async with backend.session() as session, session.begin():
        if (await session.scalars(select(Student.number).limit(1))).first() is not None:
            return
        session.add_all(_course(title, today) for title in COURSES)
        session.add_all(_student(number, today) for number in STUDENTS)
        await session.flush()
        session.add_all(
            Application(number=number, programme=programme, status=status, missing=missing, next_on=day(ahead))
            for number, (programme, status, missing, ahead) in APPLICATIONS.items()
        )
        session.add_all(
            Enrolment(number=number, title=title, status=status)
            for number, rows in ENROLMENTS.items()
            for title, status in rows
        )
        session.add_all(
            Loan(number=number, book=book, due_on=day(ahead), reserved=reserved)
            for number, rows in LOANS.items()
            for book, ahead, reserved in rows
        )
        session.add_all(
            Scholarship(number=number, name=name, amount=amount, status=status, paper=paper, next_on=day(ahead))
            for number, (name, amount, status, paper, ahead) in SCHOLARSHIPS.items()
        )
        session.add_all(
            Room(number=number, hall=hall, status=status, move_in_on=None if ahead is None else day(ahead))
            for number, (hall, status, ahead) in ROOMS.items()
        )
        session.add_all(
            Appointment(adviser=adviser, day=day(ahead), time=time, number=number)
            for adviser, ahead, time, number in APPOINTMENTS
        )


def _student(number: str, today: date) -> Student:
    kind, first, last, born, phone, private, programme, adviser, extra = STUDENTS[number]
    more = dict(extra)
    due_in = more.pop("due_in", None)
    return Student(
        number=number,
        kind=kind,
        first_name=first,
        last_name=last,
        birth_date=date.fromisoformat(born),
        phone=phone,
        private_email=f"{first.lower()}.{last.lower()}@example.com" if private else None,
        programme=programme,
        adviser=adviser,
        due_on=None if due_in is None else today + timedelta(days=due_in),
        **more,
    )


def _course(title: str, today: date) -> Course:
    worth, free, weekday, time, room, requires, change, exam, exam_in, exam_time = COURSES[title]
    return Course(
        title=title,
        credits=worth,
        free_seats=free,
        weekday=weekday,
        time=time,
        room=room,
        requires=requires,
        change_by=today + timedelta(days=change),
        exam=exam,
        exam_on=None if exam_in is None else today + timedelta(days=exam_in),
        exam_time=exam_time,
    )
