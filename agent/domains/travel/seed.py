"""The agency's made-up customers, flights and bookings; the same for the same day."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select

from agent.domains.backend import Backend
from agent.domains.travel.store import Booking, Customer, Departure, Leg, Refund, Route, Stay

# first name, last name, date of birth, phone, tier, points, points expire in days, pace, no offers, last topic
CUSTOMERS: tuple[tuple[str, str, str, str, str, int, int, float, bool, str | None], ...] = (
    ("Maya", "Lindqvist", "1984-03-12", "+13035550101", "gold", 48200, 200, 1.0, False, "your trip to Seattle"),
    ("Theo", "Marsh", "1979-11-02", "+16175550102", "silver", 15750, 90, 1.0, False, "your trip to Lisbon"),
    ("Priya", "Okafor", "1990-07-23", "+13125550103", "gold", 62410, 300, 1.1, True, "the refund of your Denver trip"),
    ("Sam", "Delacroix", "1968-01-30", "+14155550104", "blue", 1200, 25, 0.9, False, None),
    ("Noor", "Hale", "1995-09-14", "+12125550105", "blue", 3480, 60, 1.0, False, None),
    ("Gus", "Whitfield", "1951-05-06", "+13035550106", "silver", 19900, 15, 0.85, False, "your stay in Seattle"),
    ("Ines", "Calloway", "1987-12-19", "+12125550107", "gold", 30500, 400, 1.0, False, None),
    ("Rob", "Tanaka", "1973-08-08", "+19705550108", "blue", 0, 365, 1.0, False, None),
    ("Lena", "Brandt", "1999-02-27", "+12065550109", "blue", 640, 120, 1.0, False, None),
)
# number: (airline, from, to, departs, arrives, weekdays, abroad)
ROUTES: dict[str, tuple[str, str, str, str, str, str, bool]] = {
    "214": ("Northwind", "Denver", "Seattle", "07:40", "09:35", "0123456", False),
    "218": ("Northwind", "Denver", "Seattle", "15:10", "17:05", "0123456", False),
    "222": ("Northwind", "Denver", "Seattle", "20:30", "22:25", "0123456", False),
    "305": ("Northwind", "Seattle", "Denver", "10:20", "14:00", "0123456", False),
    "412": ("Meridian", "Boston", "Lisbon", "19:30", "07:15", "012346", True),
    "413": ("Meridian", "Lisbon", "Boston", "11:00", "13:40", "012346", True),
    "527": ("Northwind", "Chicago", "Denver", "12:45", "14:25", "0123456", False),
    "531": ("Northwind", "Chicago", "Denver", "18:20", "20:00", "0123456", False),
    "640": ("Meridian", "New York", "London", "21:00", "09:10", "0123456", True),
    "644": ("Meridian", "New York", "London", "08:30", "20:40", "0123456", True),
    "733": ("Northwind", "San Francisco", "Honolulu", "09:15", "11:45", "0123456", False),
}
# (number, days from today): (status, minutes late, gate, full)
DEPARTURES: dict[tuple[str, int], tuple[str, int, str | None, bool]] = {
    ("214", 0): ("landed", 0, "B4", False),
    ("218", 0): ("on_time", 0, "B12", False),
    ("222", 0): ("on_time", 0, "B15", False),
    ("218", 1): ("on_time", 0, "B12", False),
    ("305", 0): ("boarding", 0, "C7", False),
    ("412", 0): ("on_time", 0, "E21", False),
    ("527", 0): ("delayed", 90, "A9", False),
    ("640", 0): ("delayed", 45, "F3", False),
    ("640", 1): ("on_time", 0, "F3", False),
    ("733", 1): ("cancelled", 0, None, False),
    ("214", 14): ("on_time", 0, None, True),
    ("218", 14): ("on_time", 0, None, True),
    ("222", 14): ("on_time", 0, None, True),
    ("733", 2): ("on_time", 0, None, False),
}
# reference: (customer from 1, status, fare, total, booked days ago, legs as (number, days from today, back), more)
BOOKINGS: dict[str, tuple[int, str, str, int, int, tuple[tuple[str, int, bool], ...], dict[str, object]]] = {
    "482617": (1, "confirmed", "standard", 38640, 20, (("214", 12, False), ("305", 16, True)), {"bags": 1}),
    "482618": (1, "confirmed", "light", 14900, 9, (("218", 1, False),), {}),
    "493205": (2, "confirmed", "flex", 164200, 30, (("412", 20, False), ("413", 24, True)), {"seat": "aisle"}),
    "493206": (2, "cancelled", "standard", 41280, 60, (("214", -20, False),), {}),
    "517340": (3, "confirmed", "standard", 29750, 25, (("527", 0, False), ("218", 0, False)), {"checked_in": True}),
    "517341": (3, "cancelled", "flex", 21900, 40, (("531", 8, False),), {}),
    "528914": (4, "confirmed", "light", 32400, 12, (("733", 9, False),), {}),
    "528915": (4, "confirmed", "light", 58800, 0, (("640", 30, False),), {}),
    "539026": (5, "flown", "standard", 61500, 50, (("640", -8, False),), {"bags": 1}),
    "539027": (5, "confirmed", "standard", 61500, 21, (("640", 1, False),), {"papers": True}),
    "541188": (6, "confirmed", "standard", 43800, 14, (), {}),
    "541189": (6, "confirmed", "flex", 52500, 33, (), {}),
    "552473": (7, "confirmed", "standard", 70300, 45, (("644", 25, False),), {"changed_by_airline": True}),
    "552474": (7, "confirmed", "flex", 19900, 15, (("222", 0, False),), {"checked_in": True, "seat": "window"}),
    "563801": (8, "confirmed", "standard", 88700, 28, (("412", 3, False),), {"covered": True}),
    "563802": (8, "confirmed", "light", 33300, 17, (("733", 1, False),), {}),
    "574029": (9, "confirmed", "standard", 22600, 5, (("214", 6, False),), {"failed_proofs": 5}),
}
# reference: (hotel, city, arrival in days, nights, price of a night, flexible)
STAYS: dict[str, tuple[str, str, int, int, int, bool]] = {
    "493205": ("Casa Azul", "Lisbon", 21, 3, 14800, True),
    "541188": ("Pinecrest Lodge", "Vail", 6, 2, 21900, False),
    "541189": ("Harborlight Hotel", "Seattle", 15, 3, 17500, True),
}
# reference: (amount, status, due in days)
REFUNDS: dict[str, tuple[int, str, int]] = {
    "493206": (33780, "sent", -6),
    "517341": (21900, "approved", 5),
}


async def seed(backend: Backend) -> None:
    """Fill an empty agency; does nothing to one that has customers."""
    today = backend.clock.wall().date()
    async with backend.session() as session, session.begin():
        if (await session.scalars(select(Customer.id).limit(1))).first() is not None:
            return
        session.add_all(_customer(n, row, today) for n, row in enumerate(CUSTOMERS, start=1))
        session.add_all(
            Route(
                number=number,
                airline=airline,
                origin=origin,
                destination=destination,
                departs=departs,
                arrives=arrives,
                days=days,
                abroad=abroad,
            )
            for number, (airline, origin, destination, departs, arrives, days, abroad) in ROUTES.items()
        )
        await session.flush()
        session.add_all(
            Departure(
                number=number,
                day=today + timedelta(days=ahead),
                status=status,
                delay_minutes=late,
                gate=gate,
                full=full,
            )
            for (number, ahead), (status, late, gate, full) in DEPARTURES.items()
        )
        session.add_all(_booking(reference, today) for reference in BOOKINGS)
        await session.flush()
        session.add_all(
            Refund(reference=reference, amount=amount, status=status, due_on=today + timedelta(days=due))
            for reference, (amount, status, due) in REFUNDS.items()
        )


def _customer(
    number: int, row: tuple[str, str, str, str, str, int, int, float, bool, str | None], today: date
) -> Customer:
    first, last, born, phone, tier, points, expire, pace, no_offers, topic = row
    return Customer(
        id=number,
        first_name=first,
        last_name=last,
        birth_date=date.fromisoformat(born),
        phone=phone,
        email=f"{first.lower()}.{last.lower()}@example.com",
        tier=tier,
        points=points,
        points_expire_on=today + timedelta(days=expire),
        pace=pace,
        no_offers=no_offers,
        last_topic=topic,
    )


def _booking(reference: str, today: date) -> Booking:
    customer, status, fare, total, ago, legs, more = BOOKINGS[reference]
    booking = Booking(
        reference=reference,
        customer_id=customer,
        status=status,
        fare=fare,
        total=total,
        booked_on=today - timedelta(days=ago),
        legs=[
            Leg(position=n, number=number, day=today + timedelta(days=ahead), back=back)
            for n, (number, ahead, back) in enumerate(legs)
        ],
        **more,
    )
    if reference in STAYS:
        hotel, city, ahead, nights, night, flexible = STAYS[reference]
        booking.stay = Stay(
            hotel=hotel,
            city=city,
            arrival=today + timedelta(days=ahead),
            nights=nights,
            night=night,
            flexible=flexible,
        )
    return booking
