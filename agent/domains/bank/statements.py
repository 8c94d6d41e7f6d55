"""Copies of statements, by e-mail with consent or by post for a fee."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.dialogue.actioncontext import ActionContext
from agent.domains.backend import Backend
from agent.domains.bank.accounts import accounts_of
from agent.domains.bank.identity import owner
from agent.domains.bank.store import PAPER_STATEMENT_FEE, Customer, StatementSent
from agent.domains.bank.words import MONTHS, month_words
from agent.domains.forms import Nothing
from agent.domains.money import Money
from agent.domains.noted import put_once


class Month(BaseModel):
    """A month by its English name, or `last`."""

    month: str = "last"


class Statement(BaseModel):
    """outcome: found or not_yet. delivery: email (agreed to), ask (never asked) or post (declined)."""

    outcome: str
    month: date | None = None
    spoken: str = ""
    delivery: str = "ask"
    email: str = ""
    address: str = ""
    fee: Money = Money(minor=PAPER_STATEMENT_FEE)


class StatementOrder(BaseModel):
    """`by` is email or post."""

    month: date
    by: str = Field(pattern="^(email|post)$")


class StatementMade(BaseModel):
    """outcome: sent or short (the fee is not covered)."""

    outcome: str


async def find_statement(bank: Backend, arguments: Month, context: ActionContext) -> Statement:
    """Find a month's statement and how it may be sent; the running month has none yet."""
    async with bank.session() as session:
        customer = await session.get_one(Customer, owner(context))
        today = context.clock.wall().date()
        month = _month(arguments.month, today)
        if month is None:
            return Statement(outcome="not_yet")
        delivery = {None: "ask", True: "email", False: "post"}[customer.e_statements]
        return Statement(
            outcome="found",
            month=month,
            spoken=month_words(month, context.language),
            delivery=delivery,
            email=customer.email,
            address=customer.address,
        )


async def send_statement(bank: Backend, arguments: StatementOrder, context: ActionContext) -> StatementMade:
    """Send a copy of a statement once per key; by post it costs a fee, taken from the first account that covers it.

    Sending by e-mail keeps the consent to it.
    """
    async with bank.session() as session:
        number = owner(context)
        fee = PAPER_STATEMENT_FEE if arguments.by == "post" else 0
        if (await session.scalars(select(StatementSent).where(StatementSent.key == context.key))).first() is not None:
            return StatementMade(outcome="sent")
        payer = next((row for row in await accounts_of(session, number) if row.balance >= fee), None)
        if payer is None:
            return StatementMade(outcome="short")
        payer.balance -= fee
        customer = await session.get_one(Customer, number)
        customer.e_statements = arguments.by == "email" or customer.e_statements
        row = StatementSent(customer=number, month=arguments.month, by=arguments.by, fee=fee, key=context.key)
        await put_once(session, row, StatementSent.key == context.key)
        return StatementMade(outcome="sent")


async def refuse_e_statements(bank: Backend, arguments: Nothing, context: ActionContext) -> StatementMade:
    """Keep that the customer wants no statements by e-mail, so that nobody asks again."""
    async with bank.session() as session, session.begin():
        (await session.get_one(Customer, owner(context))).e_statements = False
        return StatementMade(outcome="kept")


def _month(name: str, today: date) -> date | None:
    """The first day of the last month of that name; None for the running month."""
    last = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    if name == "last":
        return last
    number = [month.lower() for month in MONTHS].index(name.lower()) + 1
    if number == today.month:
        return None
    return date(today.year if number < today.month else today.year - 1, number, 1)
