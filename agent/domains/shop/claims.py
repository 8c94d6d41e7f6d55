"""What the agent may do about parcels that did not come, things that broke, gift cards and things out of stock."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.dialogue.actioncontext import ActionContext
from agent.domains.backend import Backend
from agent.domains.calltime import now
from agent.domains.forms import Done, Nothing
from agent.domains.money import Money
from agent.domains.noted import put_once
from agent.domains.shop.store import Claim, Customer, GiftCard, NoOffers, Order, Product, StockAlert
from agent.domains.shop.words import order_words, product_words

WARRANTY_DAYS, TENT_DAYS = 730, 1826
"""Two years, and five for tents, as the warranty section of the knowledge files says."""
SEARCH_DAYS = 3
"""Business days that the carrier has to look for a parcel."""


class NewClaim(BaseModel):
    """kind: missing (a parcel or a thing in it did not come) or warranty (it broke)."""

    kind: str = Field(pattern="^(missing|warranty)$")
    order_number: str = Field(pattern=r"^\d{5}$")
    text: str = Field(default="", max_length=1000)


class ClaimMade(BaseModel):
    """outcome: open, already (one is being looked at), too_old or not_sent. days: business days until an answer."""

    outcome: str
    reference: str = ""
    days: int = SEARCH_DAYS


class CardNumber(BaseModel):
    """Names a gift card."""

    card: str = Field(pattern=r"^\d{8}$")


class CardView(BaseModel):
    """A gift card; everything but `found` is empty where there is none."""

    found: bool
    balance: Money = Money(minor=0)
    used_up: bool = False


class WantedProduct(BaseModel):
    """A kind of product that a caller waits for, and where to send word."""

    product: str
    phone: str


class AlertMade(BaseModel):
    """outcome: noted, in_stock (there is some now) or unknown. name: the product inside a sentence."""

    outcome: str
    name: str = ""
    price: Money = Money(minor=0)


class Phone(BaseModel):
    """A caller's number."""

    phone: str


class CallerProfile(BaseModel):
    """Who has this number, and which orders of theirs are open; see `agent.dialogue.profile`."""

    known: bool = False
    name: str = ""
    open_items: list[str] = []
    no_offers: bool = False


async def open_claim(shop: Backend, arguments: NewClaim, context: ActionContext) -> ClaimMade:
    """Record a claim for an order, once."""
    today = context.clock.wall().date()
    async with shop.session() as session:
        order = await session.get(Order, arguments.order_number)
        if order is None:
            raise LookupError(f"order {arguments.order_number} does not exist; look it up first")
        if order.delivered_on is None:
            return ClaimMade(outcome="not_sent")
        tent = any(item.sku.startswith("TENT") for item in order.items)
        days = TENT_DAYS if tent else WARRANTY_DAYS
        if arguments.kind == "warranty" and today - order.delivered_on > timedelta(days=days):
            return ClaimMade(outcome="too_old")
        same = select(Claim).where(Claim.order_number == order.number, Claim.kind == arguments.kind)
        made = (await session.scalars(same)).first()
        if made is not None:
            return ClaimMade(outcome="already", reference=f"L{700 + made.id}")
        row = Claim(
            kind=arguments.kind,
            order_number=order.number,
            text=arguments.text,
            created_at=now(context),
            key=context.key,
        )
        row = await put_once(session, row, Claim.key == context.key)
        return ClaimMade(outcome="open", reference=f"L{700 + row.id}")


async def gift_card(shop: Backend, arguments: CardNumber, context: ActionContext) -> CardView:
    """Say what is left on a gift card."""
    async with shop.session() as session:
        card = await session.get(GiftCard, arguments.card)
        if card is None:
            return CardView(found=False)
        return CardView(found=True, balance=Money(minor=card.balance), used_up=card.balance == 0)


async def watch_stock(shop: Backend, arguments: WantedProduct, context: ActionContext) -> AlertMade:
    """Note that a caller waits for a product, unless there is some."""
    async with shop.session() as session:
        word = arguments.product.split()[-1].rstrip("s").lower()
        products = (await session.scalars(select(Product).order_by(Product.stock, Product.sku))).all()
        meant = [one for one in products if arguments.product.rstrip("s").lower() in one.name.lower()]
        meant = meant or [one for one in products if word in one.name.lower()]
        if not meant:
            return AlertMade(outcome="unknown")
        product = meant[0]
        name = product_words(product, context.language)
        view = AlertMade(outcome="in_stock", name=name, price=Money(minor=product.price))
        if product.stock > 0:
            return view
        row = StockAlert(sku=product.sku, phone=arguments.phone, key=context.key)
        await put_once(session, row, StockAlert.key == context.key)
        return view.model_copy(update={"outcome": "noted"})


async def find_caller(shop: Backend, arguments: Phone, context: ActionContext) -> CallerProfile:
    """Who has this number."""
    async with shop.session() as session:
        customer = (await session.scalars(select(Customer).where(Customer.phone == arguments.phone))).first()
        refused = (await session.scalars(select(NoOffers).where(NoOffers.phone == arguments.phone))).first()
        if customer is None:
            return CallerProfile(known=refused is not None, no_offers=refused is not None)
        orders = await session.scalars(
            select(Order).where(Order.customer_id == customer.id, Order.status.in_(("out_for_delivery", "delayed")))
        )
        items = [order_words(order.number, context.language) for order in orders]
        return CallerProfile(known=True, name=customer.name, open_items=items, no_offers=refused is not None)


async def stop_offers(shop: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Remember that this number wants no offers."""
    async with shop.session() as session, session.begin():
        known = context.caller is None or await session.get(NoOffers, context.caller) is not None
        if not known:
            session.add(NoOffers(phone=str(context.caller)))
    return Done()
