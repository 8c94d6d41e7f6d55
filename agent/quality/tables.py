"""The tables of quality: a score a call, what people say of it, and what was fitted to that."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Float, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from agent.records.database import Base, UtcDateTime


class QualityScore(Base):
    """The score of one call, made anew whenever the call is scored again; it goes with its call when that is erased.

    score: 0 to 100, None where no criterion applied; calibrated: what people would give. items: one JSON object a
    criterion. anger: the highest reading of a caller turn. emotion: the strongest feeling heard. transferred: why it
    went to a person. satisfaction: 1 to 5; surveyed says whether the caller gave it. Times in ms.
    """

    __tablename__ = "quality_scores"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    rubric: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(String(16))
    domain: Mapped[str] = mapped_column(String(128))
    topic: Mapped[str] = mapped_column(String(128), index=True)
    score: Mapped[float | None] = mapped_column(Float(53), index=True)
    calibrated: Mapped[float | None] = mapped_column(Float(53))
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    anger: Mapped[float] = mapped_column(Float(53))
    emotion: Mapped[str] = mapped_column(String(32))
    contained: Mapped[bool] = mapped_column(Boolean)
    transferred: Mapped[str | None] = mapped_column(String(128))
    silence: Mapped[float] = mapped_column(Float(53))
    human_ms: Mapped[float] = mapped_column(Float(53))
    satisfaction: Mapped[float | None] = mapped_column(Float(53))
    surveyed: Mapped[bool] = mapped_column(Boolean)
    features: Mapped[dict[str, Any]] = mapped_column(JSON)
    scored_at: Mapped[datetime] = mapped_column(UtcDateTime)


class QualityRating(Base):
    """What one person says of one call. items: criterion -> 0 or 1, of those that they judged."""

    __tablename__ = "quality_ratings"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    rater: Mapped[str] = mapped_column(String(128), primary_key=True)
    score: Mapped[int] = mapped_column(Integer)
    items: Mapped[dict[str, Any]] = mapped_column(JSON)
    note: Mapped[str] = mapped_column(Text)
    rated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class QualityFit(Base):
    """What was fitted to people's answers: `scores:RUBRIC` to ratings, `satisfaction:RUBRIC` to surveys."""

    __tablename__ = "quality_fits"

    name: Mapped[str] = mapped_column(String(160), primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    fitted_at: Mapped[datetime] = mapped_column(UtcDateTime)
