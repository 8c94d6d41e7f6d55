"""What everything in a domain file is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.contracts import Tone

Word = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """Base of everything in a domain file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Phrase(Part):
    """One thing to say, in one or more wordings used in turn. Written as a text, a list of texts, or {text, tone}.

    optional: a courtesy that an upset caller is spared.
    """

    text: tuple[Word, ...] = Field(min_length=1)
    tone: Tone = "neutral"
    optional: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            value = {"text": value}
        if isinstance(value, dict) and isinstance(value.get("text"), str):
            value = {**value, "text": [value["text"]]}
        return value
