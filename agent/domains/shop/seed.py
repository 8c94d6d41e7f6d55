"""The shop's made-up customers, products and orders; the same for the same day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import select

from agent.clock import Clock, RealClock
from agent.domains.backend import Backend
from agent.domains.shop.store import Customer, GiftCard, Order, OrderItem, Product, open_shop

CUSTOMERS = (
    ("Maya Lindqvist", "maya@example.com", "+15035550101"),
    ("Theo Marsh", "theo.marsh@example.com", "+15035550102"),
    ("Priya Okafor", "priya@example.com", "+12065550103"),
    ("Sam Delacroix", "sam.d@example.com", "+12065550104"),
    ("Noor Hale", "noor@example.com", "+14155550105"),
    ("Gus Whitfield", "gus@example.com", "+13035550106"),
    ("Ines Calloway", "ines@example.com", "+16175550107"),
    ("Rob Tanaka", "rob@example.com", "+19705550108"),
)
# sku: (name, name in a sentence, price in cents, stock)
PRODUCTS = {
    "TENT-2": ("Cedar two-person tent", "the Cedar two-person tent", 18900, 14),
    "TENT-4": ("Spruce four-person tent", "the Spruce four-person tent", 32900, 6),
    "PACK-45": ("Ridge backpack", "the Ridge backpack", 12950, 22),
    "BOOT-H": ("Summit hiking boots", "the Summit hiking boots", 14900, 31),
    "LAN-1": ("Beacon lantern", "the Beacon lantern", 3850, 80),
    "BAG-20": ("Northern sleeping bag", "the Northern sleeping bag", 15900, 17),
    "STOVE-1": ("Ember camp stove", "the Ember camp stove", 6475, 25),
    "JACK-R": ("Squall rain jacket", "the Squall rain jacket", 11900, 19),
    "POLE-2": ("Trail trekking poles", "the Trail trekking poles", 7900, 40),
    "FILT-1": ("Brook water filter", "the Brook water filter", 4250, 55),
    "PAD-1": ("Cloud sleeping pad", "the Cloud sleeping pad", 8900, 0),
}
# number: (customer from 1, status, placed days ago, expected in days, delivered days ago, items as (sku, quantity))
ORDERS: dict[str, tuple[int, str, int, int, int | None, tuple[tuple[str, int], ...]]] = {
    "42718": (1, "delivered", 9, -3, 3, (("BOOT-H", 1), ("LAN-1", 1))),
    "42719": (1, "out_for_delivery", 4, 0, None, (("TENT-2", 1),)),
    "42720": (2, "shipped", 3, 2, None, (("PACK-45", 1),)),
    "42721": (2, "delivered", 60, -52, 52, (("STOVE-1", 1),)),
    "42722": (3, "delivered", 12, -7, 7, (("BAG-20", 2),)),
    "42723": (3, "processing", 1, 4, None, (("LAN-1", 2), ("FILT-1", 1))),
    "42724": (4, "cancelled", 6, -1, None, (("JACK-R", 1),)),
    "42725": (4, "delayed", 14, 5, None, (("PAD-1", 1),)),
    "42726": (5, "shipped", 2, 3, None, (("TENT-4", 1), ("LAN-1", 1))),
    "42727": (5, "returned", 25, -18, 18, (("BOOT-H", 1),)),
    "42728": (6, "packed", 1, 3, None, (("POLE-2", 1),)),
    "42729": (6, "delivered", 20, -14, 14, (("JACK-R", 1), ("POLE-2", 1))),
    "42730": (7, "out_for_delivery", 5, 0, None, (("STOVE-1", 1), ("FILT-1", 1))),
    "42731": (7, "processing", 0, 5, None, (("LAN-1", 1),)),
    "42732": (8, "shipped", 4, 1, None, (("BAG-20", 1),)),
    "42733": (8, "delivered", 5, -1, 1, (("TENT-2", 1), ("PAD-1", 1))),
    "42734": (2, "processing", 0, 6, None, (("JACK-R", 2),)),
    "42735": (3, "delayed", 10, 7, None, (("TENT-4", 1),)),
    "42750": (1, "processing", 1, 4, None, (("PACK-45", 1), ("STOVE-1", 1))),
    "42751": (4, "packed", 2, 2, None, (("BAG-20", 1),)),
    "42752": (6, "delivered", 33, -29, 29, (("PACK-45", 1),)),
    "42753": (5, "cancelled", 15, -8, None, (("FILT-1", 2),)),
}
# number: cents left
GIFT_CARDS = {"70314482": 5000, "70314483": 1275, "70314484": 0}
STREETS = (
    "12 Alder Street, Portland, Oregon 97201",
    "88 Harbor Road, Astoria, Oregon 97103",
    "401 Fir Avenue, Seattle, Washington 98101",
    "7 Lakeview Drive, Tacoma, Washington 98402",
    "230 Mission Lane, San Francisco, California 94105",
    "15 Quarry Court, Denver, Colorado 80202",
    "64 Elm Street, Boston, Massachusetts 02110",
    "9 Aspen Way, Vail, Colorado 81657",
)


async def seed_if_empty(shop: Backend) -> None:
    """Fill an empty shop; does nothing to one that has products."""
    today = shop.clock.wall().date()
    async with shop.session() as session, session.begin():
        if (await session.scalars(select(Product.sku).limit(1))).first() is not None:
            return
        session.add_all(
            Customer(id=n, name=name, email=email, phone=phone)
            for n, (name, email, phone) in enumerate(CUSTOMERS, start=1)
        )
        session.add_all(
            Product(sku=sku, name=name, spoken=spoken, price=price, stock=stock)
            for sku, (name, spoken, price, stock) in PRODUCTS.items()
        )
        session.add_all(GiftCard(number=number, balance=balance) for number, balance in GIFT_CARDS.items())
        await session.flush()
        session.add_all(_order(number, today) for number in ORDERS)


def _order(number: str, today: date) -> Order:
    customer, status, placed, expected, delivered, items = ORDERS[number]
    return Order(
        number=number,
        customer_id=customer,
        status=status,
        placed_on=today - timedelta(days=placed),
        expected_on=today + timedelta(days=expected),
        delivered_on=None if delivered is None else today - timedelta(days=delivered),
        carrier="Cascade Parcel" if int(number) % 2 else "Blue Heron Freight",
        address=STREETS[customer - 1],
        items=[OrderItem(sku=sku, quantity=quantity, price=PRODUCTS[sku][2]) for sku, quantity in items],
    )


async def create_shop(path: Path, clock: Clock | None = None) -> None:
    """Create and seed the SQLite shop at `path`, in place of any there; dates count from the clock's day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shop = await open_shop(f"sqlite+aiosqlite:///{path}", clock or RealClock())
    await shop.close()
