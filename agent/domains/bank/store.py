"""The bank's database: tables, and how it is opened."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from agent.clock import Clock
from agent.domains.backend import Backend, open_backend

MOST_TRIES = 3
"""Wrong PINs in a row after which a customer is verified at a branch only."""
DAILY_LIMIT = 500_000
"""Cents that may be sent to payees by telephone in a day; the knowledge files say the same."""
PAYEE_FEE = 150
"""Cents for a transfer to another bank; between accounts of this bank it is free."""
DISPUTE_DAYS = 60
"""Days after a charge in which it can be disputed."""
EXTENSION_DAYS = 14
"""Days by which the due date of a loan is moved, once in twelve months."""
PAPER_STATEMENT_FEE = 500


class Table(DeclarativeBase):
    """Base of the bank's tables. Money is in cents of a dollar, telephone numbers are E.164."""


class Customer(Table):
    """A customer; `number` is the six-digit customer number.

    tries counts wrong PINs in a row. e_statements is the consent to statements by e-mail, None where never asked.
    topic is what the last call was about, in English and Chinese.
    """

    __tablename__ = "customers"
    number: Mapped[str] = mapped_column(String(6), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    name_zh: Mapped[str] = mapped_column(String(40))
    birth_date: Mapped[date] = mapped_column(index=True)
    pin: Mapped[str] = mapped_column(String(4))
    tries: Mapped[int] = mapped_column(default=0)
    phone: Mapped[str] = mapped_column(String(20), unique=True)
    email: Mapped[str] = mapped_column(String(120))
    address: Mapped[str] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(5), default="en")
    pace: Mapped[float] = mapped_column(default=1.0)
    vip: Mapped[bool] = mapped_column(default=False)
    no_offers: Mapped[bool] = mapped_column(default=False)
    on_hold: Mapped[bool] = mapped_column(default=False)
    e_statements: Mapped[bool | None] = mapped_column(default=None)
    online_locked: Mapped[bool] = mapped_column(default=False)
    topic: Mapped[str] = mapped_column(String(120), default="")
    topic_zh: Mapped[str] = mapped_column(String(120), default="")
    topic_on: Mapped[date | None] = mapped_column(default=None)


class Account(Table):
    """An account. kind: checking or savings; `ending` are its last four digits."""

    __tablename__ = "accounts"
    ending: Mapped[str] = mapped_column(String(4), primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    balance: Mapped[int]


class Entry(Table):
    """A booking on an account; `amount` is negative for money that left. card is the card it was paid with."""

    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.ending"), index=True)
    day: Mapped[date]
    what: Mapped[str] = mapped_column(String(80))
    what_zh: Mapped[str] = mapped_column(String(80))
    amount: Mapped[int]
    pending: Mapped[bool] = mapped_column(default=False)
    card: Mapped[str | None] = mapped_column(String(4), default=None)


class Card(Table):
    """A card. kind: debit or credit; status: active, blocked, inactive (new, not activated) or expired.

    due_on is the day on which a new card that was ordered in its place should arrive.
    """

    __tablename__ = "cards"
    ending: Mapped[str] = mapped_column(String(4), primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(10))
    pin_locked: Mapped[bool] = mapped_column(default=False)
    pin_letter_on: Mapped[date | None] = mapped_column(default=None)
    due_on: Mapped[date | None] = mapped_column(default=None)


class Payee(Table):
    """Somebody the customer has saved to send money to; `own_bank` has an account here. known_as are other names."""

    __tablename__ = "payees"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    known_as: Mapped[str] = mapped_column(String(120), default="")
    own_bank: Mapped[bool] = mapped_column(default=False)


class Transfer(Table):
    """Money sent; `to` is an account's ending or a payee's name. `key` is the idempotency key of the request."""

    __tablename__ = "transfers"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), index=True)
    source: Mapped[str] = mapped_column(ForeignKey("accounts.ending"))
    to: Mapped[str] = mapped_column(String(80))
    to_payee: Mapped[bool]
    amount: Mapped[int]
    fee: Mapped[int]
    day: Mapped[date]
    arrives_on: Mapped[date]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Dispute(Table):
    """A charge that the customer disputes."""

    __tablename__ = "disputes"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), index=True)
    entry: Mapped[int] = mapped_column(ForeignKey("entries.id"), unique=True)
    reason: Mapped[str] = mapped_column(String(200))
    day: Mapped[date]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Loan(Table):
    """A loan. `remaining` 0 is paid off; extended_on is when the due date was last moved."""

    __tablename__ = "loans"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    remaining: Mapped[int]
    payment: Mapped[int]
    due_on: Mapped[date]
    autopay: Mapped[bool] = mapped_column(default=False)
    extended_on: Mapped[date | None] = mapped_column(default=None)


class LoanPayment(Table):
    """A payment towards a loan."""

    __tablename__ = "loan_payments"
    id: Mapped[int] = mapped_column(primary_key=True)
    loan: Mapped[int] = mapped_column(ForeignKey("loans.id"), index=True)
    amount: Mapped[int]
    day: Mapped[date]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Appointment(Table):
    """A talk with an adviser. branch: downtown, harbor or airport; `time` is HH:MM. customer None: none yet."""

    __tablename__ = "appointments"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str | None] = mapped_column(ForeignKey("customers.number"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    branch: Mapped[str] = mapped_column(String(20), index=True)
    day: Mapped[date]
    time: Mapped[str] = mapped_column(String(5))
    topic: Mapped[str] = mapped_column(String(40))
    cancelled: Mapped[bool] = mapped_column(default=False)
    key: Mapped[str] = mapped_column(String(64), unique=True)


class StatementSent(Table):
    """A copy of a statement that was asked for; by e-mail or post."""

    __tablename__ = "statements_sent"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customers.number"), index=True)
    month: Mapped[date]
    by: Mapped[str] = mapped_column(String(10))
    fee: Mapped[int]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Complaint(Table):
    """A complaint as the caller put it; customer None where nobody was verified."""

    __tablename__ = "complaints"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str | None] = mapped_column(ForeignKey("customers.number"), index=True)
    text: Mapped[str] = mapped_column(String(1000))
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


async def open_bank(url: str, clock: Clock) -> Backend:
    """Open the bank at a SQLAlchemy `url`, creating and seeding it if it is empty.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    from agent.domains.bank.seed import seed

    return await open_backend(url, clock, Table.metadata, seed)
