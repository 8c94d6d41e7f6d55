"""Money: balances, bookings, transfers, a savings account."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actioncontext import ActionContext
from agent.domains.backend import Backend
from agent.domains.bank.identity import owner
from agent.domains.bank.store import (
    DAILY_LIMIT,
    PAYEE_FEE,
    Account,
    Customer,
    Entry,
    Payee,
    Transfer,
)
from agent.domains.bank.words import (
    account_words,
    balance_words,
    entry_words,
    list_words,
    names,
    which_place,
)
from agent.domains.forms import Nothing
from agent.domains.money import Money

_AT_A_TIME = 3
"""Bookings read out at once."""
_OFFER_FROM = 500_000
"""Cents in checking from which a customer without savings is told of the savings account."""


class Which(BaseModel):
    """Names an account by kind; None for all."""

    account: str | None = None


class Balances(BaseModel):
    """outcome: found or none (no such account). `spoken` are whole sentences."""

    outcome: str
    spoken: str = ""
    offer_savings: bool = False


class Page(Which):
    """Which bookings: `skip` the newest so many."""

    skip: int = Field(default=0, ge=0, le=100)


class Entries(BaseModel):
    """outcome: found, which (none was named of several accounts) or none.

    more: whether there are others after these; next: how many to skip for them.
    """

    outcome: str
    spoken: str = ""
    more: bool = False
    next: int = 0


class Incoming(BaseModel):
    """The last money that came in. outcome: arrived, pending or none."""

    outcome: str
    what: str = ""
    amount: Money = Money(minor=0)
    day: date | None = None


class Named(BaseModel):
    """The caller's words, which may name a payee."""

    words: str = ""


class Payees(BaseModel):
    """outcome: none, matched (the words named one, `match`) or several. `accounts`: how many the customer has."""

    outcome: str
    accounts: int = 0
    names: list[str] = []
    spoken: str = ""
    match: str | None = None


class PayeeView(BaseModel):
    """Which saved payee the words name, if they name one and no more."""

    found: bool
    name: str = ""


class Order(BaseModel):
    """Money to send. `to` is checking, savings or payee; `payee` the name of a saved one."""

    to: str
    payee: str | None = None
    amount: Money


class Quote(BaseModel):
    """What a transfer would be. outcome: ok, short, limit, no_account or on_hold; kind: own, inside or outside.

    `target` and `source` are names inside a sentence, `available` is what is in the source.
    """

    outcome: str
    kind: str = "own"
    amount: Money = Money(minor=0)
    fee: Money = Money(minor=0)
    available: Money = Money(minor=0)
    left_today: Money = Money(minor=0)
    source: str = ""
    target: str = ""


class Sent(BaseModel):
    """outcome: sent, or what a quote says."""

    outcome: str
    arrives_on: date | None = None
    balance: Money = Money(minor=0)


class Opened(BaseModel):
    """outcome: opened, already or on_hold; `ending` are the new account's last four digits."""

    outcome: str
    ending: str = ""


async def get_balance(bank: Backend, arguments: Which, context: ActionContext) -> Balances:
    """Tell what is in one account, or in all."""
    async with bank.session() as session:
        rows = await accounts_of(session, owner(context))
        chosen = [row for row in rows if arguments.account in (None, row.kind)]
        if not chosen:
            return Balances(outcome="none")
        kinds = {row.kind for row in rows}
        rich = any(row.kind == "checking" and row.balance >= _OFFER_FROM for row in rows)
        spoken = ("" if context.language == "zh" else " ").join(
            balance_words(row.kind, row.balance, context.language) for row in chosen
        )
        return Balances(outcome="found", spoken=spoken, offer_savings=rich and "savings" not in kinds)


async def list_transactions(bank: Backend, arguments: Page, context: ActionContext) -> Entries:
    """Read out the newest bookings, three at a time."""
    async with bank.session() as session:
        rows = await accounts_of(session, owner(context))
        endings = [row.ending for row in rows if arguments.account in (None, row.kind)]
        if len(endings) > 1:
            return Entries(outcome="which")
        newest = select(Entry).where(Entry.account.in_(endings)).order_by(Entry.day.desc(), Entry.id)
        found = (await session.scalars(newest.offset(arguments.skip).limit(_AT_A_TIME + 1))).all()
        if not found:
            return Entries(outcome="none")
        today, language = context.clock.wall().date(), context.language
        spoken = ("" if language == "zh" else " ").join(
            entry_words(_what(row, language), row.amount, row.day, today, row.pending, language)
            for row in found[:_AT_A_TIME]
        )
        return Entries(outcome="found", spoken=spoken, more=len(found) > _AT_A_TIME, next=arguments.skip + _AT_A_TIME)


async def find_incoming(bank: Backend, arguments: Nothing, context: ActionContext) -> Incoming:
    """Tell the last money that came in from outside; interest does not count."""
    async with bank.session() as session:
        endings = [row.ending for row in await accounts_of(session, owner(context)) if row.kind == "checking"]
        newest = select(Entry).where(Entry.account.in_(endings), Entry.amount > 0).order_by(Entry.day.desc(), Entry.id)
        row = (await session.scalars(newest.limit(1))).first()
        if row is None:
            return Incoming(outcome="none")
        outcome = "pending" if row.pending else "arrived"
        return Incoming(outcome=outcome, what=_what(row, context.language), amount=Money(minor=row.amount), day=row.day)


async def list_payees(bank: Backend, arguments: Named, context: ActionContext) -> Payees:
    """Tell whom the customer has saved, and which of them the words name."""
    async with bank.session() as session:
        rows = (await session.scalars(select(Payee).where(Payee.customer == owner(context)).order_by(Payee.id))).all()
        accounts = len(await accounts_of(session, owner(context)))
        if not rows:
            return Payees(outcome="none", accounts=accounts)
        named = [row for row in rows if names(f"{row.name} {row.known_as}", arguments.words)]
        saved = [row.name for row in rows]
        return Payees(
            outcome="matched" if len(named) == 1 else "several",
            accounts=accounts,
            names=saved,
            spoken=list_words(saved[:_AT_A_TIME], context.language),
            match=named[0].name if len(named) == 1 else None,
        )


async def find_payee(bank: Backend, arguments: Named, context: ActionContext) -> PayeeView:
    """Tell which of the customer's payees the words name, by name, by another name or as the first, second, third."""
    async with bank.session() as session:
        rows = (await session.scalars(select(Payee).where(Payee.customer == owner(context)).order_by(Payee.id))).all()
        named = [row for row in rows if names(f"{row.name} {row.known_as}", arguments.words)]
        place = which_place(arguments.words)
        if not named and place is not None and place < min(len(rows), _AT_A_TIME):
            named = [rows[place]]
        return PayeeView(found=len(named) == 1, name=named[0].name if len(named) == 1 else "")


async def quote_transfer(bank: Backend, arguments: Order, context: ActionContext) -> Quote:
    """Say what a transfer would be and cost, without making it."""
    async with bank.session() as session:
        return (await _quote(session, arguments, context))[0]


async def make_transfer(bank: Backend, arguments: Order, context: ActionContext) -> Sent:
    """Send the money, once per key; checks again what the quote checked."""
    async with bank.session() as session, session.begin():
        done = (await session.scalars(select(Transfer).where(Transfer.key == context.key))).first()
        if done is not None:
            source = await session.get_one(Account, done.source)
            return Sent(outcome="sent", arrives_on=done.arrives_on, balance=Money(minor=source.balance))
        quote, source_row, target = await _quote(session, arguments, context)
        if quote.outcome != "ok" or source_row is None:
            return Sent(outcome=quote.outcome)
        today = context.clock.wall().date()
        source_row.balance -= quote.amount.minor + quote.fee.minor
        if target is not None:
            target.balance += quote.amount.minor
        arrives = _business_day(today, 2) if quote.kind == "outside" else today
        row = Transfer(
            customer=owner(context),
            source=source_row.ending,
            to=target.ending if target is not None else str(arguments.payee),
            to_payee=quote.kind != "own",
            amount=quote.amount.minor,
            fee=quote.fee.minor,
            day=today,
            arrives_on=arrives,
            key=context.key,
        )
        session.add(row)
        what, what_zh = _named(target, "en") or quote.target, _named(target, "zh") or quote.target
        session.add(Entry(account=source_row.ending, day=today, what=what, what_zh=what_zh, amount=-quote.amount.minor))
        return Sent(outcome="sent", arrives_on=arrives, balance=Money(minor=source_row.balance))


async def open_savings(bank: Backend, arguments: Nothing, context: ActionContext) -> Opened:
    """Open a savings account for a customer who has none."""
    async with bank.session() as session, session.begin():
        number = owner(context)
        rows = await accounts_of(session, number)
        savings = next((row for row in rows if row.kind == "savings"), None)
        if savings is not None:
            return Opened(outcome="already", ending=savings.ending)
        if (await session.get_one(Customer, number)).on_hold:
            return Opened(outcome="on_hold")
        taken = int(await session.scalar(select(func.max(Account.ending)).where(Account.kind == "savings")) or 7700)
        ending = f"{taken + 1:04d}"
        session.add(Account(ending=ending, customer=number, kind="savings", balance=0))
        return Opened(outcome="opened", ending=ending)


async def accounts_of(session: AsyncSession, customer: str) -> list[Account]:
    """The customer's accounts, checking first."""
    rows = await session.scalars(select(Account).where(Account.customer == customer).order_by(Account.kind))
    return list(rows)


async def _quote(
    session: AsyncSession, order: Order, context: ActionContext
) -> tuple[Quote, Account | None, Account | None]:
    number, language = owner(context), context.language
    rows = {row.kind: row for row in await accounts_of(session, number)}
    if (await session.get_one(Customer, number)).on_hold:
        return Quote(outcome="on_hold"), None, None
    fee, kind, target = 0, "own", None
    if order.to == "payee":
        source = rows.get("checking") or rows.get("savings")
        known = select(Payee).where(Payee.customer == number, Payee.name == order.payee)
        payee = (await session.scalars(known)).first()
        if payee is None or source is None:
            return Quote(outcome="no_account"), None, None
        kind, fee, spoken = ("inside", 0, payee.name) if payee.own_bank else ("outside", PAYEE_FEE, payee.name)
    else:
        target = rows.get(order.to)
        source = next((row for name, row in rows.items() if name != order.to), None)
        if target is None or source is None:
            return Quote(outcome="no_account"), None, None
        spoken = _named(target, language)
    today = context.clock.wall().date()
    spent = select(func.sum(Transfer.amount)).where(
        Transfer.customer == number, Transfer.to_payee, Transfer.day == today
    )
    left = DAILY_LIMIT - int(await session.scalar(spent) or 0)
    outcome = "ok"
    if order.amount.minor + fee > source.balance:
        outcome = "short"
    elif order.to == "payee" and order.amount.minor > left:
        outcome = "limit"
    quote = Quote(
        outcome=outcome,
        kind=kind,
        amount=order.amount,
        fee=Money(minor=fee),
        available=Money(minor=source.balance),
        left_today=Money(minor=left),
        source=account_words(source.kind, language),
        target=spoken,
    )
    return quote, source, target


def _named(account: Account | None, language: str) -> str:
    """The customer's own account inside a sentence: "your savings account"; empty for none."""
    if account is None:
        return ""
    words = account_words(account.kind, language)
    return f"您的{words}" if language == "zh" else f"your {words}"


def _what(row: Entry, language: str) -> str:
    return row.what_zh if language == "zh" else row.what


def _business_day(day: date, ahead: int) -> date:
    while ahead:
        day += timedelta(days=1)
        ahead -= day.weekday() < 5
    return day
