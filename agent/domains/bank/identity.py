"""Who is calling: the profile of a telephone number, and proof by name or customer number, date of birth and PIN."""

from __future__ import annotations

import re
from datetime import date

from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.dialogue.actioncontext import ActionContext
from agent.dialogue.identity import same_secret
from agent.domains.backend import Backend
from agent.domains.bank.store import MOST_TRIES, Card, Customer, Loan
from agent.domains.bank.words import card_words, loan_words
from agent.domains.forms import CallerNumber, Nothing
from agent.domains.names import same_name

_NUMBER_LENGTH = 6
_LACKS = re.compile(r"\b(don't|do not|can't|cannot|forgot|lost|number|what|why|how)\b|不|没|忘|号", re.IGNORECASE)
"""Words of an answer that is no name: "I don't have it", "what number is that"."""
_MOST_WORDS = 12


class CallerView(BaseModel):
    """What is known of whoever calls from a number; nothing of it is said before the caller is verified."""

    known: bool
    name: str = ""
    language: str | None = None
    pace: float | None = None
    last_topic: str | None = None
    open_items: list[str] = []
    vip: bool = False
    no_offers: bool = False


class LineView(BaseModel):
    """Whether the number that calls is a customer's."""

    known: bool


class Claim(BaseModel):
    """Who the caller says he is: a customer number or a name, None for the owner of the number that calls."""

    who: str | None = Field(default=None, max_length=200)
    birth_date: date


class ClaimView(BaseModel):
    """outcome: found, again, or give_up after too many claims in this call. `number` is the customer's."""

    outcome: str
    number: str = ""


class Told(BaseModel):
    """The caller's answer to who he is."""

    who: str = Field(max_length=500)


class ToldView(BaseModel):
    """Whether the answer can be a customer number or a name."""

    usable: bool


class PinClaim(BaseModel):
    """A customer number that was found, and the PIN that was keyed in."""

    number: str
    pin: str = Field(max_length=12)


class Proof(BaseModel):
    """outcome: verified, wrong or locked; the rest is empty unless verified."""

    outcome: str
    number: str = ""
    name: str = ""
    first_name: str = ""


def owner(context: ActionContext) -> str:
    """The number of the verified customer.

    Raises:
        PermissionError: nobody is verified.
    """
    if context.customer is None:
        raise PermissionError("nobody is verified in this call; run the flow 'verify' first")
    return str(context.customer["number"])


async def find_caller(bank: Backend, arguments: CallerNumber, context: ActionContext) -> CallerView:
    """What is known of the number that calls."""
    async with bank.session() as session:
        customer = (await session.scalars(select(Customer).where(Customer.phone == arguments.phone))).first()
        if customer is None:
            return CallerView(known=False)
        today, language = context.clock.wall().date(), context.language
        chinese = language == "zh" or customer.language == "zh"
        spoken = "zh" if chinese else "en"
        items: list[str] = []
        cards = await session.scalars(select(Card).where(Card.customer == customer.number, Card.due_on.is_not(None)))
        for card in cards:
            words = card_words(card.kind, card.ending, spoken)
            items.append(f"补办{words}的新卡" if chinese else f"the new card for your {words}")
        loan = (await session.scalars(select(Loan).where(Loan.customer == customer.number))).first()
        if loan is not None and loan.remaining > 0 and loan.due_on < today and not loan.autopay:
            words = loan_words(loan.kind, spoken)
            items.append(f"逾期的{words}还款" if chinese else f"a payment on your {words} that is past due")
        recent = customer.topic_on is not None and (today - customer.topic_on).days <= 30
        topic = (customer.topic_zh if chinese else customer.topic) if recent else ""
        return CallerView(
            known=True,
            name=customer.name_zh if chinese else customer.name,
            language=customer.language,
            pace=customer.pace,
            last_topic=topic or None,
            open_items=items,
            vip=customer.vip,
            no_offers=customer.no_offers,
        )


async def recognise_line(bank: Backend, arguments: Nothing, context: ActionContext) -> LineView:
    """Whether the number that calls is a customer's, so that the name need not be asked for."""
    async with bank.session() as session:
        found = (await session.scalars(select(Customer.number).where(Customer.phone == context.caller))).first()
        return LineView(known=found is not None)


async def check_told(bank: Backend, arguments: Told, context: ActionContext) -> ToldView:
    """Whether the answer can be a customer number or a name, and is not that the caller has none at hand."""
    if len(re.sub(r"\D", "", arguments.who)) == _NUMBER_LENGTH:
        return ToldView(usable=True)
    return ToldView(usable=_LACKS.search(arguments.who) is None and len(arguments.who.split()) <= _MOST_WORDS)


async def find_customer(bank: Backend, arguments: Claim, context: ActionContext) -> ClaimView:
    """Find the customer who was born that day and has that number, name or telephone; counts what does not fit.

    A name is compared loosely: the date of birth must be right, and the PIN is asked for besides.
    """
    async with bank.session() as session:
        if context.attempts.locked():
            return ClaimView(outcome="give_up")
        born = (await session.scalars(select(Customer).where(Customer.birth_date == arguments.birth_date))).all()
        fitting = [customer for customer in born if _fits(customer, arguments.who, context.caller)]
        if len(fitting) == 1:
            return ClaimView(outcome="found", number=fitting[0].number)
        context.attempts.failed()
        return ClaimView(outcome="give_up" if context.attempts.locked() else "again")


async def check_pin(bank: Backend, arguments: PinClaim, context: ActionContext) -> Proof:
    """Check the PIN; after too many wrong ones in a row none is right any more."""
    async with bank.session() as session, session.begin():
        customer = await session.get(Customer, arguments.number)
        if customer is None or customer.tries >= MOST_TRIES or context.attempts.locked(customer.number):
            return Proof(outcome="locked")
        if not same_secret(arguments.pin, customer.pin):
            customer.tries += 1
            context.attempts.failed(customer.number)
            locked = customer.tries >= MOST_TRIES or context.attempts.locked(customer.number)
            return Proof(outcome="locked" if locked else "wrong")
        customer.tries = 0
        context.attempts.proved(customer.number)
        if context.language == "zh":
            return Proof(outcome="verified", number=customer.number, name=customer.name_zh, first_name=customer.name_zh)
        return Proof(
            outcome="verified", number=customer.number, name=customer.name, first_name=customer.name.split()[0]
        )


async def stop_offers(bank: Backend, arguments: Nothing, context: ActionContext) -> LineView:
    """Make no more offers to the owner of the number that calls, or to the verified customer."""
    async with bank.session() as session, session.begin():
        mine = Customer.phone == context.caller if context.customer is None else Customer.number == owner(context)
        customer = (await session.scalars(select(Customer).where(mine))).first()
        if customer is not None:
            customer.no_offers = True
        return LineView(known=customer is not None)


def _fits(customer: Customer, who: str | None, caller: str | None) -> bool:
    if who is None:
        return caller is not None and customer.phone == caller
    digits = re.sub(r"\D", "", who)
    if digits:
        return digits == customer.number
    if any("\u4e00" <= letter <= "\u9fff" for letter in who):
        shared = sum(letter in who for letter in customer.name_zh)
        return shared * 2 >= len(customer.name_zh)
    return same_name(who, customer.name, own_line=caller == customer.phone)
