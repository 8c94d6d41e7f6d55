"""People of whom the demo businesses keep a record: columns that their tables share, and what is told of a caller."""

from __future__ import annotations

from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend


class Person:
    """Columns of somebody who is proven by name, date of birth and postcode; `phone` is E.164 and may be shared."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    birth_date: Mapped[date] = mapped_column(index=True)
    postcode: Mapped[str] = mapped_column(String(5))
    phone: Mapped[str] = mapped_column(String(20), index=True)
    no_offers: Mapped[bool]


class Client:
    """Columns of somebody with a number of their own; `pace` is the speed of speech they like (1.0 is the usual one).

    last_topic: what the last call was about, as in "about ...".
    """

    first_name: Mapped[str] = mapped_column(String(40))
    last_name: Mapped[str] = mapped_column(String(40))
    birth_date: Mapped[date]
    phone: Mapped[str] = mapped_column(String(20), unique=True)
    pace: Mapped[float] = mapped_column(default=1.0)
    no_offers: Mapped[bool] = mapped_column(default=False)
    last_topic: Mapped[str | None] = mapped_column(String(80))


AnyPerson = TypeVar("AnyPerson", bound=Person)
AnyClient = TypeVar("AnyClient", bound=Client)


def profile_of(client: Client) -> dict[str, Any]:
    """The fields of `agent.domains.forms.Profile` that a record gives; open items are the business's to tell."""
    return {
        "known": True,
        "name": client.first_name,
        "pace": client.pace,
        "last_topic": client.last_topic,
        "no_offers": client.no_offers,
    }


async def spare_number(backend: Backend, table: type[AnyPerson], phone: str | None) -> None:
    """Make no more offers to whoever calls from a number."""
    async with backend.session() as session, session.begin():
        await session.execute(update(table).where(table.phone == phone).values(no_offers=True))


async def spare_client(
    backend: Backend, table: type[AnyClient], context: ActionContext, verified: ColumnElement[bool]
) -> bool:
    """Make no more offers to the caller; False where nobody knows who that is.

    verified: finds the record of the caller who is verified; anybody else is known by the number that calls.
    """
    wanted = table.phone == (context.caller or "") if context.customer is None else verified
    async with backend.session() as session, session.begin():
        client = await session.scalar(select(table).where(wanted))
        if client is None:
            return False
        client.no_offers = True
        return True
