"""Proof of identity in the demo businesses, with a lock after too many wrong ones."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.names import same_name
from agent.domains.people import AnyPerson, Person

MOST_FAILED = 5
"""Wrong proofs for one record, over all calls, after which it is only opened by a person."""


class Claim(BaseModel):
    """Who the caller says he is, or the one he calls for; `name` in the caller's own words."""

    name: str = Field(min_length=1, max_length=200)
    birth_date: date
    postcode: str = Field(pattern=r"^\d{5}$")


class Proof(BaseModel):
    """outcome: proven, wrong or locked (too many wrong proofs); the rest is of whoever was proven.

    `phone_end`: the last four digits of the number on record.
    """

    outcome: str
    id: int = 0
    name: str = ""
    first_name: str = ""
    phone_end: str = ""


class ProofCount:
    """Column of a record that locks itself after `MOST_FAILED` wrong proofs in a row."""

    failed_proofs: Mapped[int] = mapped_column(default=0)

    @property
    def locked(self) -> bool:
        """Whether no proof is taken any more."""
        return self.failed_proofs >= MOST_FAILED

    def judged(self, right: bool) -> str:
        """proven, wrong or locked; a wrong proof counts, a right one clears the count."""
        if not self.locked:
            self.failed_proofs = 0 if right else self.failed_proofs + 1
            if right:
                return "proven"
        return "locked" if self.locked else "wrong"


def proven_id(context: ActionContext, who: str) -> int:
    """The id of the proven person; `who` they are to the business, for the error.

    Raises:
        PermissionError: nobody was proven in this call.
    """
    if context.customer is None:
        raise PermissionError(f"no {who} is proven in this call; run the flow 'verify' first")
    return int(context.customer["id"])


async def check_claim(
    backend: Backend, table: type[AnyPerson], claim: Claim, context: ActionContext
) -> tuple[str, AnyPerson | None]:
    """Compare a claim with the people on record: the outcome (see `Proof`), and who was proven.

    The name is compared loosely, once date of birth and postcode have matched, and more so where the person's own
    number calls. A wrong claim counts against the record
    it names.
    """
    claimed = f"{claim.birth_date}|{claim.postcode}"
    if context.attempts.locked(claimed):
        return "locked", None
    async with backend.session() as session:
        same = select(table).where(table.birth_date == claim.birth_date, table.postcode == claim.postcode)
        for person in (await session.scalars(same)).all():
            if same_name(claim.name, person.name, own_line=context.caller == person.phone):
                context.attempts.proved(claimed)
                return "proven", person
    context.attempts.failed(claimed)
    return "locked" if context.attempts.locked(claimed) else "wrong", None


def proof_of(person: Person) -> dict[str, Any]:
    """The fields of `Proof` for somebody who was proven."""
    return {
        "outcome": "proven",
        "id": person.id,
        "name": person.name,
        "first_name": person.name.split()[0],
        "phone_end": person.phone[-4:],
    }
