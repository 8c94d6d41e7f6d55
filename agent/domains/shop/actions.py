"""What the agent may do in the shop. Every change is one transaction that checks the state it starts from."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import now
from agent.domains.forms import NewComplaint
from agent.domains.money import Money
from agent.domains.noted import put_once
from agent.domains.shop.store import (
    CANCELLABLE,
    RETURN_DAYS,
    RETURNABLE,
    Complaint,
    Order,
    Return,
)
from agent.domains.shop.words import (
    REFUND_DAYS,
    carrier_name,
    item_name,
    list_words,
    product_words,
    refund_days,
    whole_order,
)


class OrderNumber(BaseModel):
    """Names an order."""

    order_number: str = Field(pattern=r"^\d{5}$")


class OrderView(BaseModel):
    """An order as the agent speaks of it; everything but `found` is empty where there is none."""

    found: bool
    number: str = ""
    status: str = ""
    customer: str = ""
    items: list[str] = []
    spoken_items: str = ""
    item_count: int = 0
    total: Money = Money(minor=0)
    placed_on: date | None = None
    expected_on: date | None = None
    delivered_on: date | None = None
    carrier: str = ""
    address: str = ""
    cancellable: bool = False
    return_state: str = "no"


class Cancelled(BaseModel):
    """outcome: cancelled, already or too_late."""

    outcome: str
    status: str
    refund: Money
    refund_days: str = REFUND_DAYS["en"]


class ReturnRequest(BaseModel):
    """`item` is a product's name, or `all`."""

    order_number: str = Field(pattern=r"^\d{5}$")
    item: str = "all"


class ReturnQuote(BaseModel):
    """What a return would give back; `what` names it in a sentence."""

    what: str
    refund: Money
    refund_days: str = REFUND_DAYS["en"]


class NewReturn(ReturnRequest):
    """`reason` in the caller's words or as a code."""

    reason: str = Field(max_length=200)


class ReturnMade(ReturnQuote):
    """A return on record. outcome: created or already."""

    outcome: str
    reference: str


class NewAddress(BaseModel):
    """Where an order should go instead."""

    order_number: str = Field(pattern=r"^\d{5}$")
    address: str = Field(min_length=5, max_length=200)


class AddressChanged(BaseModel):
    """outcome: changed or too_late."""

    outcome: str
    status: str
    address: str


class OrderComplaint(NewComplaint):
    """`order_number` where the caller gave one."""

    order_number: str | None = None


class ComplaintLogged(BaseModel):
    """The complaint's number."""

    reference: str


async def find_order(shop: Backend, arguments: OrderNumber, context: ActionContext) -> OrderView:
    """Look an order up."""
    async with shop.session() as session:
        order = await session.get(Order, arguments.order_number)
        if order is None:
            return OrderView(found=False)
        returned = (await session.scalars(select(Return.sku).where(Return.order_number == order.number))).all()
        return _view(order, list(returned), context.clock.wall().date(), context.language)


async def cancel_order(shop: Backend, arguments: OrderNumber, context: ActionContext) -> Cancelled:
    """Cancel an order that has not left the warehouse."""
    async with shop.session() as session, session.begin():
        changed = await session.execute(
            update(Order)
            .where(Order.number == arguments.order_number, Order.status.in_(CANCELLABLE))
            .values(status="cancelled", cancelled_at=now(context))
            .returning(Order.number)
        )
        done = changed.first() is not None
        order = await _order(session, arguments.order_number)
        outcome = "cancelled" if done else "already" if order.status == "cancelled" else "too_late"
        days = refund_days(context.language)
        return Cancelled(outcome=outcome, status=order.status, refund=_money(order), refund_days=days)


async def quote_return(shop: Backend, arguments: ReturnRequest, context: ActionContext) -> ReturnQuote:
    """Say what a return would give back, without making it."""
    async with shop.session() as session:
        order = await _order(session, arguments.order_number)
        return _part(order, arguments.item, context.language)[1]


async def create_return(shop: Backend, arguments: NewReturn, context: ActionContext) -> ReturnMade:
    """Record a return; what is already being returned gives that return again."""
    async with shop.session() as session:
        order = await _order(session, arguments.order_number)
        sku, quote = _part(order, arguments.item, context.language)
        same = select(Return).where(
            Return.order_number == order.number, or_(Return.sku.is_(None), Return.sku == sku, literal(sku is None))
        )
        made = (await session.scalars(same)).first()
        if made is not None:
            return ReturnMade(outcome="already", reference=f"R{1000 + made.id}", **quote.model_dump())
        row = Return(
            order_number=order.number,
            sku=sku,
            reason=arguments.reason,
            refund=quote.refund.minor,
            created_at=now(context),
            key=context.key,
        )
        kept = await put_once(session, row, Return.key == context.key)
        outcome = "created" if kept is row else "already"
        return ReturnMade(outcome=outcome, reference=f"R{1000 + kept.id}", **quote.model_dump())


async def change_address(shop: Backend, arguments: NewAddress, context: ActionContext) -> AddressChanged:
    """Send an order that has not left the warehouse somewhere else."""
    async with shop.session() as session, session.begin():
        changed = await session.execute(
            update(Order)
            .where(Order.number == arguments.order_number, Order.status.in_(CANCELLABLE))
            .values(address=arguments.address)
            .returning(Order.number)
        )
        outcome = "changed" if changed.first() is not None else "too_late"
        order = await _order(session, arguments.order_number)
        return AddressChanged(outcome=outcome, status=order.status, address=order.address)


async def log_complaint(shop: Backend, arguments: OrderComplaint, context: ActionContext) -> ComplaintLogged:
    """Record a complaint; an unknown order number is left out rather than losing the complaint."""
    async with shop.session() as session:
        number = arguments.order_number
        if number is not None and await session.get(Order, number) is None:
            number = None
        row = Complaint(order_number=number, text=arguments.text[:1000], created_at=now(context), key=context.key)
        row = await put_once(session, row, Complaint.key == context.key)
        return ComplaintLogged(reference=f"C{500 + row.id}")


async def _order(session: AsyncSession, number: str) -> Order:
    order = await session.get(Order, number)
    if order is None:
        raise LookupError(f"order {number} does not exist; look it up first")
    return order


def _view(order: Order, returned: list[str | None], today: date, language: str) -> OrderView:
    names = [product_words(item.product, language, item.quantity) for item in order.items]
    return OrderView(
        found=True,
        number=order.number,
        status=order.status,
        customer=order.customer.name,
        items=[item_name(item.product, language) for item in order.items],
        spoken_items=list_words(names, language),
        item_count=len(order.items),
        total=_money(order),
        placed_on=order.placed_on,
        expected_on=order.expected_on,
        delivered_on=order.delivered_on,
        carrier=carrier_name(order.carrier, language),
        address=order.address,
        cancellable=order.status in CANCELLABLE,
        return_state=_return_state(order, returned, today),
    )


def _return_state(order: Order, returned: list[str | None], today: date) -> str:
    """returnable, on_its_way (returnable once it arrives), too_old, already, or no."""
    if order.status == "returned" or None in returned or len(set(returned)) == len(order.items):
        return "already"
    if order.status not in RETURNABLE:
        return "no"
    if order.delivered_on is None:
        return "on_its_way"
    return "returnable" if today - order.delivered_on <= timedelta(days=RETURN_DAYS) else "too_old"


def _part(order: Order, item: str, language: str) -> tuple[str | None, ReturnQuote]:
    """The article of a return (None for all) and its quote; `item` is a name in any of the languages, or `all`."""
    days = refund_days(language)
    if item == "all":
        what = whole_order(language) if len(order.items) > 1 else product_words(order.items[0].product, language)
        return None, ReturnQuote(what=what, refund=_money(order), refund_days=days)
    for line in order.items:
        if item in (item_name(line.product, "en"), item_name(line.product, "zh")):
            refund = Money(minor=line.price * line.quantity)
            what = product_words(line.product, language, line.quantity)
            return line.sku, ReturnQuote(what=what, refund=refund, refund_days=days)
    raise LookupError(f"order {order.number} has no item '{item}'; name one of its items or 'all'")


def _money(order: Order) -> Money:
    return Money(minor=sum(item.price * item.quantity for item in order.items))
