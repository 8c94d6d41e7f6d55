"""Loans: what is due, payments, and a later due date."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actioncontext import ActionContext
from agent.domains.backend import Backend
from agent.domains.bank.identity import owner
from agent.domains.bank.store import EXTENSION_DAYS, Account, Entry, Loan, LoanPayment
from agent.domains.bank.words import loan_words
from agent.domains.forms import Nothing
from agent.domains.money import Money


class LoanView(BaseModel):
    """status: none, paid_off, overdue, automatic or current. `spoken` names the loan inside a sentence.

    extendable: whether the due date may be moved to `later`.
    """

    status: str
    spoken: str = ""
    payment: Money = Money(minor=0)
    remaining: Money = Money(minor=0)
    due_on: date | None = None
    extendable: bool = False
    later: date | None = None


class Payment(BaseModel):
    """What to pay; None for the regular payment."""

    amount: Money | None = None


class Paid(BaseModel):
    """outcome: paid, short (not enough in checking), too_much (more than remains) or no_account."""

    outcome: str
    amount: Money = Money(minor=0)
    remaining: Money = Money(minor=0)
    available: Money = Money(minor=0)


class Extended(BaseModel):
    """outcome: extended or refused."""

    outcome: str
    due_on: date | None = None


async def find_loan(bank: Backend, arguments: Nothing, context: ActionContext) -> LoanView:
    """Look the customer's loan up."""
    async with bank.session() as session:
        loan = await _loan(session, context)
        if loan is None:
            return LoanView(status="none")
        today = context.clock.wall().date()
        status = "current"
        if loan.remaining <= 0:
            status = "paid_off"
        elif loan.autopay:
            status = "automatic"
        elif loan.due_on < today:
            status = "overdue"
        return LoanView(
            status=status,
            spoken=loan_words(loan.kind, context.language),
            payment=Money(minor=loan.payment),
            remaining=Money(minor=loan.remaining),
            due_on=loan.due_on,
            extendable=_extendable(loan, today),
            later=loan.due_on + timedelta(days=EXTENSION_DAYS),
        )


async def pay_loan(bank: Backend, arguments: Payment, context: ActionContext) -> Paid:
    """Pay towards the loan from checking, once per key; a full regular payment moves the due date on a month."""
    async with bank.session() as session, session.begin():
        loan = await _loan(session, context)
        own = select(Account).where(Account.customer == owner(context), Account.kind == "checking")
        account = (await session.scalars(own)).first()
        if loan is None or account is None:
            return Paid(outcome="no_account")
        amount = Money(minor=loan.payment) if arguments.amount is None else arguments.amount
        done = (await session.scalars(select(LoanPayment).where(LoanPayment.key == context.key))).first()
        if done is None:
            if amount.minor > loan.remaining:
                return Paid(outcome="too_much", remaining=Money(minor=loan.remaining))
            if amount.minor > account.balance:
                return Paid(outcome="short", available=Money(minor=account.balance))
            today = context.clock.wall().date()
            account.balance -= amount.minor
            loan.remaining -= amount.minor
            if amount.minor >= loan.payment:
                loan.due_on = _month_later(loan.due_on)
            session.add(LoanPayment(loan=loan.id, amount=amount.minor, day=today, key=context.key))
            what, what_zh = f"your {loan_words(loan.kind, 'en')}", f"您的{loan_words(loan.kind, 'zh')}"
            session.add(Entry(account=account.ending, day=today, what=what, what_zh=what_zh, amount=-amount.minor))
        return Paid(
            outcome="paid",
            amount=amount,
            remaining=Money(minor=loan.remaining),
            available=Money(minor=account.balance),
        )


async def extend_loan(bank: Backend, arguments: Nothing, context: ActionContext) -> Extended:
    """Move the due date by two weeks, once in twelve months."""
    async with bank.session() as session, session.begin():
        loan = await _loan(session, context)
        today = context.clock.wall().date()
        if loan is None:
            return Extended(outcome="refused")
        if loan.extended_on != today:
            if not _extendable(loan, today):
                return Extended(outcome="refused")
            loan.extended_on = today
            loan.due_on += timedelta(days=EXTENSION_DAYS)
        return Extended(outcome="extended", due_on=loan.due_on)


async def _loan(session: AsyncSession, context: ActionContext) -> Loan | None:
    return (await session.scalars(select(Loan).where(Loan.customer == owner(context)))).first()


def _extendable(loan: Loan, today: date) -> bool:
    return loan.remaining > 0 and (loan.extended_on is None or (today - loan.extended_on).days > 365)


def _month_later(day: date) -> date:
    first = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return first.replace(day=min(day.day, 28))
