"""Cards: block, replace, activate, PIN, and charges that are disputed."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actioncontext import ActionContext
from agent.domains.backend import Backend
from agent.domains.bank.identity import owner
from agent.domains.bank.store import DISPUTE_DAYS, Account, Card, Customer, Dispute, Entry
from agent.domains.bank.words import card_words, charge_words, list_words, names, pairs, which_place
from agent.domains.money import Money
from agent.domains.noted import put_once

_POST_DAYS = 6
"""Days until a new card or a PIN letter arrives."""
_CHARGES = 3
"""Charges to choose from when one is disputed."""


class CardKind(BaseModel):
    """debit or credit; None where the caller has not said."""

    kind: str | None = None


class CardView(BaseModel):
    """outcome: one (usable), several, none, blocked, on_its_way (blocked, and a new one ordered) or inactive.

    `spoken` names the card inside a sentence, `ending` are its last four digits.
    """

    outcome: str
    ending: str = ""
    spoken: str = ""
    kind: str = ""
    pin_locked: bool = False
    due_on: date | None = None
    address: str = ""


class CardEnding(BaseModel):
    """The last four digits of a card of the customer's."""

    ending: str = Field(pattern=r"^\d{4}$")


class CardChanged(BaseModel):
    """outcome: done, already, unknown or blocked; `due_on` is the day something ordered should arrive."""

    outcome: str
    spoken: str = ""
    due_on: date | None = None


class NewCard(BaseModel):
    """Whether a card with these last digits is the customer's."""

    found: bool
    ending: str = ""
    status: str = ""


class Heard(BaseModel):
    """The caller's words, which may name a charge."""

    words: str = ""


class Charges(BaseModel):
    """The newest card payments. outcome: none, matched (the words named one, `match`) or several."""

    outcome: str
    names: list[str] = []
    spoken: str = ""
    match: str | None = None


class ChargeName(BaseModel):
    """A charge as `Charges.names` has it, or the caller's words for one of them."""

    charge: str = Field(max_length=200)


class ChargeView(BaseModel):
    """found: it names one charge, and no more. outcome: ok, pending, too_old, already or unclear."""

    found: bool
    outcome: str
    entry: int = 0
    what: str = ""
    amount: Money = Money(minor=0)
    day: date | None = None
    card_kind: str = ""


class NewDispute(BaseModel):
    """`entry` is the charge's number, `reason` a code or the caller's words."""

    entry: int
    reason: str = Field(max_length=200)


class DisputeMade(BaseModel):
    """outcome: opened or already; `reference` is the case number."""

    outcome: str
    reference: str = ""


async def find_card(bank: Backend, arguments: CardKind, context: ActionContext) -> CardView:
    """Find the card that is meant; a card that can be used comes before one that is blocked."""
    async with bank.session() as session:
        number = owner(context)
        rows = (await session.scalars(select(Card).where(Card.customer == number).order_by(Card.ending))).all()
        rows = [row for row in rows if row.status != "expired" and arguments.kind in (None, row.kind)]
        if not rows:
            return CardView(outcome="none")
        active = [row for row in rows if row.status == "active"]
        if len(active) > 1:
            return CardView(outcome="several")
        row = active[0] if active else rows[0]
        outcome = {"active": "one", "inactive": "inactive"}.get(row.status, "on_its_way" if row.due_on else "blocked")
        address = (await session.get_one(Customer, number)).address
        return CardView(
            outcome=outcome,
            ending=row.ending,
            spoken=card_words(row.kind, row.ending, context.language),
            kind=row.kind,
            pin_locked=row.pin_locked,
            due_on=row.due_on,
            address=address,
        )


async def block_card(bank: Backend, arguments: CardEnding, context: ActionContext) -> CardChanged:
    """Block a card for good."""
    async with bank.session() as session, session.begin():
        card = await _card(session, arguments.ending, context)
        if card is None:
            return CardChanged(outcome="unknown")
        outcome = "already" if card.status == "blocked" else "done"
        card.status = "blocked"
        return CardChanged(outcome=outcome, spoken=card_words(card.kind, card.ending, context.language))


async def order_card(bank: Backend, arguments: CardEnding, context: ActionContext) -> CardChanged:
    """Order a new card in place of one; what is already ordered is told again."""
    async with bank.session() as session, session.begin():
        card = await _card(session, arguments.ending, context)
        if card is None:
            return CardChanged(outcome="unknown")
        outcome = "already" if card.due_on else "done"
        card.due_on = card.due_on or context.clock.wall().date() + timedelta(days=_POST_DAYS)
        spoken = card_words(card.kind, card.ending, context.language)
        return CardChanged(outcome=outcome, spoken=spoken, due_on=card.due_on)


async def find_new_card(bank: Backend, arguments: CardEnding, context: ActionContext) -> NewCard:
    """Tell whether a card is the customer's, and its state."""
    async with bank.session() as session:
        card = await _card(session, arguments.ending, context)
        return NewCard(found=False) if card is None else NewCard(found=True, ending=card.ending, status=card.status)


async def activate_card(bank: Backend, arguments: CardEnding, context: ActionContext) -> CardChanged:
    """Activate a new card."""
    async with bank.session() as session, session.begin():
        card = await _card(session, arguments.ending, context)
        if card is None:
            return CardChanged(outcome="unknown")
        outcome = {"inactive": "done", "active": "already"}.get(card.status, "blocked")
        if outcome == "done":
            card.status = "active"
        return CardChanged(outcome=outcome, spoken=card_words(card.kind, card.ending, context.language))


async def unlock_pin(bank: Backend, arguments: CardEnding, context: ActionContext) -> CardChanged:
    """Unlock the PIN of a card after too many wrong tries; the PIN stays the same."""
    async with bank.session() as session, session.begin():
        card = await _card(session, arguments.ending, context)
        if card is None or card.status != "active":
            return CardChanged(outcome="unknown" if card is None else "blocked")
        outcome, card.pin_locked = ("done" if card.pin_locked else "already"), False
        return CardChanged(outcome=outcome, spoken=card_words(card.kind, card.ending, context.language))


async def send_pin_letter(bank: Backend, arguments: CardEnding, context: ActionContext) -> CardChanged:
    """Send a letter with the PIN of a card; one that is under way is told again."""
    async with bank.session() as session, session.begin():
        card = await _card(session, arguments.ending, context)
        if card is None or card.status != "active":
            return CardChanged(outcome="unknown" if card is None else "blocked")
        today = context.clock.wall().date()
        outcome = "already" if card.pin_letter_on is not None and card.pin_letter_on >= today else "done"
        if outcome == "done":
            card.pin_letter_on = today + timedelta(days=_POST_DAYS)
        return CardChanged(outcome=outcome, due_on=card.pin_letter_on)


async def list_charges(bank: Backend, arguments: Heard, context: ActionContext) -> Charges:
    """Tell the newest card payments, and which of them the words name."""
    async with bank.session() as session:
        rows = await _charges(session, owner(context))
        if not rows:
            return Charges(outcome="none")
        options = [_charge_name(row, context.language) for row in rows]
        named = [option for option, row in zip(options, rows, strict=True) if _names(row, arguments.words)]
        return Charges(
            outcome="matched" if len(named) == 1 else "several",
            names=options,
            spoken=list_words(options[:_CHARGES], context.language),
            match=named[0] if len(named) == 1 else None,
        )


async def find_charge(bank: Backend, arguments: ChargeName, context: ActionContext) -> ChargeView:
    """Find a charge and tell whether it can be disputed."""
    async with bank.session() as session:
        rows = await _charges(session, owner(context))
        row = _meant(rows, arguments.charge, context.language)
        if row is None:
            return ChargeView(found=False, outcome="unclear")
        disputed = (await session.scalars(select(Dispute.id).where(Dispute.entry == row.id))).first()
        too_old = (context.clock.wall().date() - row.day).days > DISPUTE_DAYS
        outcome = "already" if disputed else "pending" if row.pending else "too_old" if too_old else "ok"
        card = None if row.card is None else await session.get(Card, row.card)
        return ChargeView(
            found=True,
            outcome=outcome,
            entry=row.id,
            what=row.what_zh if context.language == "zh" else row.what,
            amount=Money(minor=-row.amount),
            day=row.day,
            card_kind="" if card is None else card.kind,
        )


async def open_dispute(bank: Backend, arguments: NewDispute, context: ActionContext) -> DisputeMade:
    """Open a dispute about a charge of the customer's; each charge has at most one."""
    async with bank.session() as session:
        number = owner(context)
        if arguments.entry not in [row.id for row in await _charges(session, number)]:
            return DisputeMade(outcome="unknown")
        row = Dispute(
            customer=number,
            entry=arguments.entry,
            reason=arguments.reason,
            day=context.clock.wall().date(),
            key=context.key,
        )
        row = await put_once(session, row, Dispute.entry == arguments.entry)
        outcome = "opened" if row.key == context.key else "already"
        return DisputeMade(outcome=outcome, reference=str(3000 + row.id))


async def _card(session: AsyncSession, ending: str, context: ActionContext) -> Card | None:
    """The verified customer's card with these last digits."""
    mine = select(Card).where(Card.ending == ending, Card.customer == owner(context))
    return (await session.scalars(mine)).first()


async def _charges(session: AsyncSession, customer: str) -> list[Entry]:
    mine = select(Account.ending).where(Account.customer == customer)
    newest = select(Entry).where(Entry.account.in_(mine), Entry.card.is_not(None)).order_by(Entry.day.desc(), Entry.id)
    return list(await session.scalars(newest))


def _charge_name(row: Entry, language: str) -> str:
    return charge_words(row.what_zh if language == "zh" else row.what, row.amount, language)


def _names(row: Entry, words: str) -> bool:
    return names(f"{row.what} {row.what_zh} {pairs(row.what_zh)}", words)


def _meant(rows: list[Entry], words: str, language: str) -> Entry | None:
    """The one charge that is named whole, by who was paid, or by its place among those read out."""
    whole = [row for row in rows if _charge_name(row, language) == words]
    named = whole or [row for row in rows if _names(row, words)]
    place = which_place(words)
    if not named and place is not None and place < min(len(rows), _CHARGES):
        named = [rows[place]]
    return named[0] if len(named) == 1 else None
