"""The clinic's made-up patients and what is open with them; the same for the same day."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select

from agent.domains.backend import Backend
from agent.domains.clinic.store import Absence, Appointment, LabResult, Patient, Prescription, Referral, Vaccine

# name, born, postcode, phone, doctor, pharmacy, insurer, balance in cents, state of the bill, due in days, pace,
# no offers
PATIENTS = (
    ("Anna Bergstrom", "1980-03-03", "97412", "+15415550101", "Dr. Novak", "Lakeside Pharmacy", "Blue Harbor Health",
     0, "none", None, 1.0, False),
    ("Marcus Webb", "1972-11-21", "97415", "+15415550102", "Dr. Brandt", "Corner Pharmacy", "Summit Care",
     8540, "due", 12, 1.0, False),
    ("Priya Raman", "1991-07-15", "97412", "+15415550103", "Dr. Novak", "Lakeside Pharmacy", "Evergreen Mutual",
     24000, "overdue", -20, 1.0, False),
    ("Harold Quist", "1948-05-30", "97420", "+15415550104", "Dr. Brandt", "Corner Pharmacy", "Medicare",
     0, "none", None, 0.9, False),
    ("Sofia Delgado", "2001-01-09", "97415", "+15415550105", "Dr. Serrano", "Lakeside Pharmacy", "Pioneer Plan",
     3500, "due", 5, 1.0, True),
    ("Emil Novotny", "1965-09-12", "97420", "+15415550106", "Dr. Brandt", "Corner Pharmacy", "Summit Care",
     61250, "collections", -120, 1.0, False),
    ("Grace Okoro", "1988-12-24", "97433", "+15415550107", "Dr. Serrano", "Lakeside Pharmacy", "Blue Harbor Health",
     0, "none", None, 1.0, False),
    ("Tom Lindgren", "1959-02-14", "97433", "+15415550108", "Dr. Novak", "Corner Pharmacy", "Coastal Family Plan",
     18000, "plan", 9, 1.0, False),
    ("Lily Bergstrom", "2018-06-20", "97412", "+15415550101", "Dr. Serrano", "Lakeside Pharmacy", "Blue Harbor Health",
     0, "none", None, 1.0, False),
)  # fmt: skip
# patient from 1, doctor, visit, in working days, time
APPOINTMENTS = (
    (1, "Dr. Novak", "a check-up", 4, "09:30"),
    (2, "Dr. Brandt", "a follow-up", 1, "08:30"),
    (2, "Nurse Moran", "a tetanus shot", 9, "14:00"),
    (4, "Dr. Brandt", "a follow-up", 0, "16:30"),
    (6, "Dr. Brandt", "a check-up", 1, "10:30"),
    (7, "Nurse Moran", "a flu shot", 8, "11:00"),
    (8, "Dr. Novak", "a new problem", 15, "15:30"),
    (9, "Dr. Serrano", "a check-up", 6, "10:00"),
)
# patient, medicine, state, refills left, can be refilled from in days
PRESCRIPTIONS = (
    (1, "lisinopril", "active", 2, -3),
    (2, "metformin", "expired", 0, -10),
    (2, "atorvastatin", "active", 3, -1),
    (3, "zolpidem", "controlled", 0, -5),
    (4, "warfarin", "active", 1, 11),
    (6, "omeprazole", "pending", 1, -2),
    (7, "levothyroxine", "active", 4, -4),
    (8, "amlodipine", "expired", 0, -30),
)
# patient, test, taken days ago, state
RESULTS = (
    (1, "blood test", 6, "ready"),
    (2, "cholesterol test", 2, "pending"),
    (4, "blood test", 30, "discussed"),
    (7, "thyroid test", 8, "ready"),
    (7, "chest X-ray", 5, "ready"),
    (8, "blood test", 1, "pending"),
)
# patient, specialty, clinic, state, changed days ago
REFERRALS = (
    (2, "cardiology", "Stonebridge Heart Center", "approved", 3),
    (3, "dermatology", "Cedar Skin Clinic", "sent", 6),
    (4, "physical therapy", "Meadow Physical Therapy", "denied", 2),
    (7, "endocrinology", "Larkspur Endocrine Center", "requested", 1),
)
# name, stock, least age in years, price in cents
VACCINES = (
    ("flu", 140, 1, 3500),
    ("covid", 60, 5, 14000),
    ("tetanus", 45, 11, 6500),
    ("shingles", 22, 50, 19000),
    ("pneumonia", 0, 50, 21000),
    ("hepatitis", 18, 1, 9000),
)
BRANDT_AWAY = (2, 8)
"""Working days from today, first and last, on which Dr. Brandt is away."""


def working_day(today: date, count: int) -> date:
    """The working day `count` working days after `today`; for 0 today itself, whatever the day."""
    day = today
    for _ in range(count):
        day += timedelta(days=1)
        while day.weekday() >= 5:
            day += timedelta(days=1)
    return day


async def seed_if_empty(clinic: Backend) -> None:
    """Fill an empty clinic; does nothing to one that has patients."""
    today = clinic.clock.wall().date()
    async with clinic.session() as session, session.begin():
        if (await session.scalars(select(Patient.id).limit(1))).first() is not None:
            return
        session.add_all(_patient(n, row, today) for n, row in enumerate(PATIENTS, start=1))
        session.add_all(
            Vaccine(name=name, stock=stock, least_age=age, price=price) for name, stock, age, price in VACCINES
        )
        first, last = BRANDT_AWAY
        session.add(Absence(doctor="Dr. Brandt", first=working_day(today, first), last=working_day(today, last)))
        await session.flush()
        for patient, doctor, visit, days, time in APPOINTMENTS:
            day = working_day(today, days)
            place = f"{doctor}|{day}|{time}"
            row = {"patient_id": patient, "doctor": doctor, "visit": visit, "day": day, "time": time, "place": place}
            session.add(Appointment(**row, status="booked", note=""))
        session.add_all(
            Prescription(
                patient_id=patient, medicine=medicine, state=state, refills=refills,
                refill_from=today + timedelta(days=days),
            )
            for patient, medicine, state, refills, days in PRESCRIPTIONS
        )  # fmt: skip
        session.add_all(
            LabResult(patient_id=patient, test=test, taken_on=today - timedelta(days=ago), state=state)
            for patient, test, ago, state in RESULTS
        )
        session.add_all(
            Referral(
                patient_id=patient, specialty=specialty, clinic=clinic_name, state=state,
                changed_on=today - timedelta(days=ago),
            )
            for patient, specialty, clinic_name, state, ago in REFERRALS
        )  # fmt: skip


def _patient(
    number: int,
    row: tuple[str, str, str, str, str, str, str, int, str, int | None, float, bool],
    today: date,
) -> Patient:
    name, born, postcode, phone, doctor, pharmacy, insurer, balance, state, due, pace, no_offers = row
    return Patient(
        id=number,
        name=name,
        birth_date=date.fromisoformat(born),
        postcode=postcode,
        phone=phone,
        doctor=doctor,
        pharmacy=pharmacy,
        insurer=insurer,
        balance=balance,
        bill_state=state,
        bill_due_on=None if due is None else today + timedelta(days=due),
        pace=pace,
        no_offers=no_offers,
    )
