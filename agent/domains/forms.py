"""What actions of several demo businesses take and give alike."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Nothing(BaseModel):
    """No arguments."""


class CallerNumber(BaseModel):
    """The number that calls, E.164; None where it is withheld."""

    phone: str | None = None


class Profile(BaseModel):
    """What is known of who calls from a number; nothing of it is said before the caller is verified."""

    known: bool = False
    name: str | None = None
    pace: float = 1.0
    last_topic: str | None = None
    open_items: list[str] = []
    no_offers: bool = False


class Done(BaseModel):
    """Whether what was wished is on record."""

    done: bool = True


class NewComplaint(BaseModel):
    """A complaint in the caller's own words."""

    text: str = Field(min_length=1)


class ComplaintLogged(BaseModel):
    """The complaint's number."""

    number: int


class Logged(BaseModel):
    """The number of what was put on record, as it is spoken."""

    number: str
