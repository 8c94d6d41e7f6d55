"""The city's made-up residents and what is open with them; the same for the same day."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select

from agent.domains.backend import Backend
from agent.domains.government.store import Benefit, Permit, Pickup, Report, Resident, Ticket

# name, born, postcode, phone, address, library card, fines in cents, tax in cents, its state, due in days, no offers
RESIDENTS = (
    ("Walter Ames", "1957-04-08", "54301", "+19205550101", "14 Birch Street, Alder Falls", "active", 0,
     124050, "due", 26, False),
    ("Ines Moreau", "1984-10-19", "54302", "+19205550102", "77 Mill Avenue, Alder Falls", "expired", 0,
     98000, "overdue", -15, False),
    ("Dev Banerjee", "1993-02-27", "54301", "+19205550103", "5 Canal Road, Alder Falls", "none", 0,
     0, "none", None, False),
    ("Ruth Halloran", "1941-07-03", "54303", "+19205550104", "210 Orchard Lane, Alder Falls", "active", 0,
     76500, "plan", 11, True),
    ("Tobias Lund", "1978-12-12", "54302", "+19205550105", "33 Quarry Court, Alder Falls", "blocked", 1840,
     143000, "paid", -40, False),
    ("Mina Sato", "1999-05-30", "54303", "+19205550106", "8 Elm Street, Alder Falls", "none", 0,
     0, "none", None, False),
    ("Carl Oyelaran", "1969-08-21", "54301", "+19205550107", "120 River Drive, Alder Falls", "expired", 0,
     167025, "due", 26, False),
    ("Joan Petrie", "1988-01-16", "54302", "+19205550108", "61 Harbor Street, Alder Falls", "active", 0,
     88000, "paid", -40, False),
)  # fmt: skip
# number, problem, place, state, due in days
REPORTS = (
    ("310214", "pothole", "Mill Avenue at Fifth Street", "scheduled", 3),
    ("310227", "broken streetlight", "14 Birch Street", "received", 9),
    ("310231", "graffiti", "the bridge on Canal Road", "in_progress", 1),
    ("310198", "fallen tree", "Orchard Lane", "done", -4),
    ("310240", "blocked drain", "8 Elm Street", "declined", 0),
)
# number, offence, cents, issued days ago, due in days, state
TICKETS = (
    ("4410723", "an expired meter", 3500, 6, 15, "open"),
    ("4410811", "parking at a fire hydrant", 12000, 30, -9, "overdue"),
    ("4410902", "parking on a sidewalk", 6000, 12, 9, "disputed"),
    ("4410655", "an expired meter", 3500, 50, -29, "paid"),
    ("4410640", "parking in a loading zone", 6000, 60, -39, "dismissed"),
    ("4410957", "parking over two spaces", 4500, 2, 19, "open"),
)
# number, kind, state, what is missing, changed days ago
PERMITS = (
    ("20260118", "deck", "review", "", 5),
    ("20260145", "garage", "approved", "", 2),
    ("20260152", "fence", "missing", "a drawing of the lot", 7),
    ("20260160", "kitchen remodel", "inspection", "", 1),
    ("20260097", "sign", "denied", "", 10),
    ("20250033", "shed", "expired", "", 30),
)
# resident from 1, program, state, what is missing, changed days ago
BENEFITS = (
    (1, "heating aid", "approved", "", 4),
    (2, "rent aid", "missing", "your last pay slip", 6),
    (3, "rent aid", "review", "", 8),
    (4, "senior bus pass", "received", "", 1),
    (6, "child care aid", "denied", "", 3),
)
# address in lower case, what, in days (negative for past)
PICKUPS = (("77 mill avenue", "a sofa", -35), ("120 river drive", "a fridge", -20))


async def seed_if_empty(city: Backend) -> None:
    """Fill an empty city; does nothing to one that has residents."""
    today = city.clock.wall().date()
    async with city.session() as session, session.begin():
        if (await session.scalars(select(Resident.id).limit(1))).first() is not None:
            return
        session.add_all(_resident(n, row, today) for n, row in enumerate(RESIDENTS, start=1))
        session.add_all(
            Report(number=number, problem=problem, place=place, state=state, due_on=today + timedelta(days=days))
            for number, problem, place, state, days in REPORTS
        )
        session.add_all(
            Ticket(
                number=number, offence=offence, amount=amount, issued_on=today - timedelta(days=ago),
                due_on=today + timedelta(days=due), state=state, reason="",
            )
            for number, offence, amount, ago, due, state in TICKETS
        )  # fmt: skip
        session.add_all(
            Permit(number=number, kind=kind, state=state, missing=missing, changed_on=today - timedelta(days=ago))
            for number, kind, state, missing, ago in PERMITS
        )
        session.add_all(
            Pickup(address=address, item=item, day=today + timedelta(days=days), fee=0)
            for address, item, days in PICKUPS
        )
        await session.flush()
        session.add_all(
            Benefit(
                resident_id=resident, program=program, state=state, missing=missing,
                changed_on=today - timedelta(days=ago),
            )
            for resident, program, state, missing, ago in BENEFITS
        )  # fmt: skip


def _resident(
    number: int,
    row: tuple[str, str, str, str, str, str, int, int, str, int | None, bool],
    today: date,
) -> Resident:
    name, born, postcode, phone, address, library, fines, tax, state, due, no_offers = row
    return Resident(
        id=number,
        name=name,
        birth_date=date.fromisoformat(born),
        postcode=postcode,
        phone=phone,
        address=address,
        library=library,
        library_fines=fines,
        tax=tax,
        tax_state=state,
        tax_due_on=None if due is None else today + timedelta(days=due),
        no_offers=no_offers,
    )
