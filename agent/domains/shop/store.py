"""The shop's database: tables, and how it is opened."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from agent.clock import Clock
from agent.domains.backend import Backend, open_backend

CANCELLABLE = ("processing", "packed")
"""States in which an order has not left the warehouse: it can be cancelled and its address changed."""
RETURNABLE = ("shipped", "out_for_delivery", "delivered")
RETURN_DAYS = 30
"""Days after delivery in which a return is taken; the returns policy in the knowledge files says the same."""


class Table(DeclarativeBase):
    """Base of the shop's tables. Money is in cents of a dollar."""


class Customer(Table):
    """A customer; `phone` is E.164."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str] = mapped_column(String(120), unique=True)
    phone: Mapped[str] = mapped_column(String(20), unique=True)


class Product(Table):
    """Something the shop sells; `spoken` is its name inside a sentence, with an article."""

    __tablename__ = "products"
    sku: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    spoken: Mapped[str] = mapped_column(String(80))
    price: Mapped[int]
    stock: Mapped[int]


class Order(Table):
    """An order. status: processing, packed, shipped, out_for_delivery, delivered, cancelled, returned or delayed."""

    __tablename__ = "orders"
    number: Mapped[str] = mapped_column(String(5), primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    status: Mapped[str] = mapped_column(String(20), index=True)
    placed_on: Mapped[date]
    expected_on: Mapped[date]
    delivered_on: Mapped[date | None]
    carrier: Mapped[str] = mapped_column(String(40))
    address: Mapped[str] = mapped_column(String(200))
    cancelled_at: Mapped[datetime | None]
    customer: Mapped[Customer] = relationship(lazy="joined")
    items: Mapped[list[OrderItem]] = relationship(lazy="selectin", order_by="OrderItem.id")


class OrderItem(Table):
    """A line of an order; `price` is of one piece, as paid."""

    __tablename__ = "order_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_number: Mapped[str] = mapped_column(ForeignKey("orders.number"), index=True)
    sku: Mapped[str] = mapped_column(ForeignKey("products.sku"))
    quantity: Mapped[int]
    price: Mapped[int]
    product: Mapped[Product] = relationship(lazy="joined")


class Return(Table):
    """A return; `sku` None is the whole order. `key` is the idempotency key of the request."""

    __tablename__ = "returns"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_number: Mapped[str] = mapped_column(ForeignKey("orders.number"), index=True)
    sku: Mapped[str | None] = mapped_column(ForeignKey("products.sku"))
    reason: Mapped[str] = mapped_column(String(200))
    refund: Mapped[int]
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Complaint(Table):
    """A complaint as the caller put it."""

    __tablename__ = "complaints"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_number: Mapped[str | None] = mapped_column(ForeignKey("orders.number"), index=True)
    text: Mapped[str] = mapped_column(String(1000))
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Claim(Table):
    """A claim: kind missing or warranty."""

    __tablename__ = "claims"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    order_number: Mapped[str] = mapped_column(ForeignKey("orders.number"), index=True)
    text: Mapped[str] = mapped_column(String(1000))
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class GiftCard(Table):
    """A gift card; `balance` in cents."""

    __tablename__ = "gift_cards"
    number: Mapped[str] = mapped_column(String(8), primary_key=True)
    balance: Mapped[int]


class StockAlert(Table):
    """Somebody waits for a product."""

    __tablename__ = "stock_alerts"
    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("products.sku"))
    phone: Mapped[str] = mapped_column(String(20))
    key: Mapped[str] = mapped_column(String(64), unique=True)


class NoOffers(Table):
    """A number that wants no offers."""

    __tablename__ = "no_offers"
    phone: Mapped[str] = mapped_column(String(20), primary_key=True)


async def open_shop(url: str, clock: Clock) -> Backend:
    """Open the shop at a SQLAlchemy `url`, creating and seeding it if it has no tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    from agent.domains.shop.seed import seed_if_empty

    return await open_backend(url, clock, Table.metadata, seed_if_empty)
