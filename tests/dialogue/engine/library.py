"""The backend of the library: what its actions were asked is in `ran`."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel

from agent.clock import Clock
from agent.dialogue.actions import ActionContext

BOOKS = {"4020": "Moby Dick", "4021": "Emma", "4030": "Dracula"}
NEW = "4030"


class Library:
    """Two members, three books; `hold` makes actions with side effects wait."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str] = []

    async def close(self) -> None:
        """Nothing to give back."""

    def note(self, name: str, **arguments: Any) -> None:
        """Remember that an action ran."""
        self.ran.append((name, arguments))

    @property
    def names(self) -> list[str]:
        """The actions that ran."""
        return [name for name, _ in self.ran]


async def open_library(url: str, clock: Clock) -> Library:
    return Library()


class Number(BaseModel):
    number: str


class Found(BaseModel):
    found: bool
    title: str = ""
    shelf: int = 0
    new: bool = False


async def find_book(library: Library, asked: Number, context: ActionContext) -> Found:
    library.note("find_book", number=asked.number)
    title = BOOKS.get(asked.number)
    return Found(found=title is not None, title=title or "", shelf=7, new=asked.number == NEW)


class Pin(BaseModel):
    card: str
    pin: str


class Proof(BaseModel):
    outcome: str
    id: str = ""
    name: str = ""


async def check_pin(library: Library, given: Pin, context: ActionContext) -> Proof:
    library.note("check_pin", card=given.card)
    if context.attempts.locked(given.card):
        return Proof(outcome="locked")
    if (given.card, given.pin) != ("112233", "9876"):
        context.attempts.failed(given.card)
        return Proof(outcome="locked" if context.attempts.locked(given.card) else "wrong")
    context.attempts.proved(given.card)
    return Proof(outcome="proven", id="m1", name="Noor Lind")


class Nothing(BaseModel):
    pass


class Loans(BaseModel):
    count: int


async def list_loans(library: Library, asked: Nothing, context: ActionContext) -> Loans:
    library.note("list_loans", customer=context.customer and context.customer["id"])
    return Loans(count=3)


class Done(BaseModel):
    done: bool = True


async def renew(library: Library, asked: Number, context: ActionContext) -> Done:
    library.note("renew", number=asked.number, customer=context.customer and context.customer["id"])
    return Done()


class Amount(BaseModel):
    amount: dict[str, Any]


async def pay(library: Library, asked: Amount, context: ActionContext) -> Done:
    library.note("pay", amount=asked.amount["minor"])
    return Done()


class Day(BaseModel):
    day: date


class Room(BaseModel):
    name: str


async def find_room(library: Library, asked: Day, context: ActionContext) -> Room:
    library.note("find_room", day=asked.day.isoformat())
    return Room(name="oak room" if asked.day.day % 2 else "ash room")


class Reservation(BaseModel):
    room: str
    day: date
    people: int
    note: str | None = None


class Reserved(BaseModel):
    room: str


async def reserve(library: Library, asked: Reservation, context: ActionContext) -> Reserved:
    library.note("reserve", **asked.model_dump(mode="json"))
    return Reserved(room=asked.room)


async def stop_offers(library: Library, asked: Nothing, context: ActionContext) -> Done:
    library.note("stop_offers")
    return Done()
