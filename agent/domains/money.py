"""An amount of money as actions of every demo business take and give it."""

from __future__ import annotations

from pydantic import BaseModel


class Money(BaseModel):
    """An amount in minor units of its currency."""

    minor: int
    currency: str = "USD"
