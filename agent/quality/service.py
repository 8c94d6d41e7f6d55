"""Scores finished calls and keeps the scores; keeps what people say of calls, and what is learnt from that.

QualityError
├── NotFinished  the call still goes on
└── BadRating    a rating that cannot be taken
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select, update

from agent.clock import Clock
from agent.dialogue.loader import load_domain
from agent.quality.calibration import Calibration, Correction, Pair, calibrate
from agent.quality.evidence import CallEvidence, DomainFacts
from agent.quality.rubric import Rubric, Rubrics
from agent.quality.satisfaction import Fit, Predictor, fit
from agent.quality.scoring import Scored, score
from agent.quality.tables import QualityFit, QualityRating, QualityScore
from agent.records.database import Call, Database
from agent.records.queries import CallNotFound, Row, load_call
from agent.records.redaction import redact
from agent.records.rows import fit as fitted_row
from agent.yamlfile import FileError

log = logging.getLogger(__name__)

LONGEST_NOTE = 4000
SCORES, SATISFACTION = "scores", "satisfaction"
"""Names of fits."""


class QualityError(Exception):
    """Something of quality that cannot be done; the message says what to do instead."""


class NotFinished(QualityError):
    """The call still goes on."""


class BadRating(QualityError):
    """A rating that cannot be taken."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What a person says of a call. score: 0 to 100. items: criterion -> met or not, of those that they judged."""

    call_id: str
    rater: str
    score: int
    items: Mapping[str, bool]
    note: str = ""


class Quality:
    """Quality of the calls in one database.

    facts: what a domain's calls are measured by, None for one that is not known here; it is asked for once a domain.
    """

    def __init__(
        self, database: Database, rubrics: Rubrics, clock: Clock, facts: Callable[[str], DomainFacts | None]
    ) -> None:
        self.database = database
        self.rubrics = rubrics
        self.clock = clock
        self._facts = facts
        self._known: dict[str, DomainFacts | None] = {}

    async def score(self, call_id: str) -> Scored | None:
        """As `score_call`, for the end of a call: a failure is logged, never raised, and None comes back."""
        try:
            return await self.score_call(call_id)
        except Exception as error:  # the end of a call must not fail by its score
            log.error(
                "call %s is not scored: %s: %s; later: agent quality score", call_id, type(error).__name__, error,
                extra={"code": "not_scored"},
            )  # fmt: skip
            return None

    async def score_call(self, call_id: str) -> Scored:
        """Score one finished call and keep it, in place of an earlier score.

        Raises:
            CallNotFound: no such call.
            NotFinished: it still goes on.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be used.
        """
        loaded = await load_call(self.database, call_id)
        if loaded["call"]["finished_at"] is None:
            raise NotFinished(f"call {call_id} still goes on; score it when it is over")
        domain = loaded["call"]["domain"]
        facts = await asyncio.to_thread(self._facts_of, domain)
        rubric = self.rubrics.of(domain)
        fits = await self._fits()
        call = CallEvidence.of(loaded, facts)
        scored = score(call, rubric, Predictor.of(rubric.satisfaction, fits.get(f"{SATISFACTION}:{rubric.name}")))
        correction = Correction.of(fits.get(f"{SCORES}:{rubric.name}"))
        row = {
            "call_id": call_id,
            "rubric": rubric.name,
            "digest": rubric.digest,
            "domain": domain,
            "topic": call.topic,
            "score": scored.score,
            "calibrated": correction.apply(scored.score),
            "items": [item.data() for item in scored.items],
            "anger": scored.features["anger"],
            "emotion": call.emotion,
            "contained": call.contained,
            "transferred": call.transferred,
            "silence": round(call.silence, 4),
            "human_ms": call.human_ms,
            "satisfaction": scored.satisfaction,
            "surveyed": scored.surveyed,
            "features": dict(scored.features),
            "scored_at": self.clock.wall(),
        }
        async with self.database.engine.begin() as connection:
            await connection.execute(delete(QualityScore).where(QualityScore.call_id == call_id))
            await connection.execute(insert(QualityScore), [fitted_row(QualityScore, row)])
        return scored

    async def unscored(self, since: datetime | None = None, again: bool = False) -> list[str]:
        """Finished calls, oldest first, that have no score by the rubric as it is now; all of them where `again`."""
        query = select(Call.id, Call.domain, QualityScore.digest).where(Call.finished_at.is_not(None))
        query = query.outerjoin(QualityScore, QualityScore.call_id == Call.id).order_by(Call.opened_at, Call.id)
        if since is not None:
            query = query.where(Call.opened_at >= since)
        async with self.database.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [row.id for row in rows if again or row.digest != self.rubrics.of(row.domain).digest]

    async def score_since(
        self, since: datetime | None = None, again: bool = False
    ) -> AsyncIterator[tuple[int, int, int]]:
        """Score what `unscored` finds; gives (done, failed, all) after each. What fails is logged and left out."""
        calls, failed = await self.unscored(since, again), 0
        for done, call_id in enumerate(calls, 1):
            failed += await self.score(call_id) is None
            yield done, failed, len(calls)

    async def check_rating(self, rating: Rating) -> None:
        """Refuse a rating that cannot be taken.

        Raises:
            BadRating: score or items are wrong.
            CallNotFound, NotFinished: there is no such call, or it still goes on.
        """
        async with self.database.engine.connect() as connection:
            query = select(Call.domain, Call.finished_at).where(Call.id == rating.call_id)
            call = (await connection.execute(query)).one_or_none()
        if call is None:
            raise CallNotFound(f"there is no call {rating.call_id!r}; list the calls to find its id")
        if call.finished_at is None:
            raise NotFinished(f"call {rating.call_id} still goes on; rate it when it is over")
        _check(rating, self.rubrics.of(call.domain))

    async def rate(self, rating: Rating) -> None:
        """Keep what a person says of a call, in place of what they said before. Raises as `check_rating`."""
        await self.check_rating(rating)
        row = {
            "call_id": rating.call_id,
            "rater": rating.rater,
            "score": rating.score,
            "items": {name: int(met) for name, met in rating.items.items()},
            "note": redact(rating.note),
            "rated_at": self.clock.wall(),
        }
        same = (QualityRating.call_id == rating.call_id) & (QualityRating.rater == rating.rater)
        async with self.database.engine.begin() as connection:
            await connection.execute(delete(QualityRating).where(same))
            await connection.execute(insert(QualityRating), [fitted_row(QualityRating, row)])

    async def calibration(self, name: str | None = None) -> Calibration:
        """How near a rubric (its name; the default one where None) is to the people who rated the same calls."""
        rubric = self._rubric(name)
        passes = {criterion.name: criterion.passes for criterion in rubric.criteria}
        return calibrate(await self._pairs(rubric), passes)

    async def apply(self, name: str | None = None) -> Calibration:
        """Fit the correction to ratings, keep it, and correct all scores of that rubric.

        Raises:
            QualityError: the correction would bring scores no nearer to people, or there are too few ratings.
        """
        rubric = self._rubric(name)
        found = await self.calibration(name)
        if not found.better:
            raise QualityError(
                f"{found.pairs} rated calls do not give a correction that is nearer to people on calls it did not see; "
                "rate more calls, or leave the scores as they are"
            )
        data = {"offset": found.correction.offset, "slope": found.correction.slope, "pairs": found.pairs}
        await self._keep_fit(f"{SCORES}:{rubric.name}", data)
        mine = QualityScore.rubric == rubric.name
        async with self.database.engine.begin() as connection:
            scores = (await connection.execute(select(QualityScore.call_id, QualityScore.score).where(mine))).all()
            for call_id, value in scores:
                changed = update(QualityScore).where(QualityScore.call_id == call_id)
                await connection.execute(changed.values(calibrated=found.correction.apply(value)))
        return found

    async def fit_satisfaction(self, name: str | None = None, keep: bool = True) -> Fit:
        """Fit the prediction of satisfaction to the surveys of calls scored by a rubric, and keep it where it is
        better on callers it did not see; predictions are made anew then."""
        rubric = self._rubric(name)
        mine = QualityScore.rubric == rubric.name
        query = select(QualityScore.features, QualityScore.satisfaction).where(mine, QualityScore.surveyed)
        async with self.database.engine.connect() as connection:
            surveys = [(row.features, float(row.satisfaction)) for row in (await connection.execute(query)).all()]
        found = fit(rubric.satisfaction, surveys)
        if not (found.better and keep):
            return found
        await self._keep_fit(f"{SATISFACTION}:{rubric.name}", found.predictor.data() | {"surveys": found.surveys})
        guessed = mine & ~QualityScore.surveyed & QualityScore.satisfaction.is_not(None)
        async with self.database.engine.begin() as connection:
            rows = await connection.execute(select(QualityScore.call_id, QualityScore.features).where(guessed))
            for call_id, features in rows.all():
                changed = update(QualityScore).where(QualityScore.call_id == call_id)
                await connection.execute(changed.values(satisfaction=found.predictor.predict(features)))
        return found

    def _rubric(self, name: str | None) -> Rubric:
        found = next((one for one in self.rubrics.all if name is None or one.name == name), None)
        if found is None:
            known = ", ".join(one.name for one in self.rubrics.all)
            raise QualityError(f"there is no rubric {name!r}; use one of {known}")
        return found

    def _facts_of(self, domain: str) -> DomainFacts | None:
        if domain not in self._known:
            self._known[domain] = self._facts(domain)
        return self._known[domain]

    async def _fits(self) -> dict[str, Row]:
        async with self.database.engine.connect() as connection:
            return {row.name: row.data for row in (await connection.execute(select(QualityFit.__table__))).all()}

    async def _keep_fit(self, name: str, data: Mapping[str, Any]) -> None:
        row = {"name": name, "data": dict(data), "fitted_at": self.clock.wall()}
        async with self.database.engine.begin() as connection:
            await connection.execute(delete(QualityFit).where(QualityFit.name == name))
            await connection.execute(insert(QualityFit), [row])

    async def _pairs(self, rubric: Rubric) -> list[Pair]:
        query = (
            select(QualityScore.call_id, QualityScore.score, QualityScore.items, QualityRating.score.label("human"))
            .add_columns(QualityRating.items.label("judged"))
            .join(QualityRating, QualityRating.call_id == QualityScore.call_id)
            .where(QualityScore.score.is_not(None), QualityScore.rubric == rubric.name)
            .order_by(QualityScore.call_id, QualityRating.rater)
        )
        async with self.database.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        grouped: dict[str, list[Any]] = {}
        for row in rows:
            grouped.setdefault(row.call_id, []).append(row)
        pairs = []
        for call_id, of_call in grouped.items():
            items = {item["name"]: item["value"] for item in of_call[0].items}
            names = {name for row in of_call for name in row.judged}
            judged = {name: _mean([row.judged[name] for row in of_call if name in row.judged]) for name in names}
            pairs.append(Pair(call_id, of_call[0].score, _mean([row.human for row in of_call]), items, judged))
        return pairs


def facts_from(folders: Sequence[Path]) -> Callable[[str], DomainFacts | None]:
    """Finds the facts of a domain by its name or path: a domain folder among `folders`, or one inside of them.

    A domain that cannot be read is logged and counts as unknown: what needs its facts does not apply to its calls then.
    """

    def find(name: str) -> DomainFacts | None:
        plain = Path(name).name == name
        given = [folder for folder in folders if folder == Path(name) or (plain and folder.name == name)]
        inside = [folder / name for folder in folders if plain]
        for path in (*given, *inside):
            if not (path / "domain.yaml").is_file():
                continue
            try:
                return DomainFacts.of(load_domain(path))
            except FileError as error:
                log.error("calls of '%s' are scored without their domain: %s", name, error, extra={"code": "domain"})
                return None
        return None

    return find


async def score_call(
    database: Database, call_id: str, rubrics: Rubrics, clock: Clock, facts: DomainFacts | None = None
) -> Scored:
    """Score one finished call and keep it; as `Quality.score_call`, for who has no `Quality` at hand."""
    return await Quality(database, rubrics, clock, lambda _: facts).score_call(call_id)


def _check(rating: Rating, rubric: Rubric) -> None:
    if isinstance(rating.score, bool) or not 0 <= rating.score <= 100:
        raise BadRating(f"score {rating.score} is out of range; give 0 to 100")
    if not rating.rater.strip() or len(rating.rater) > 128:
        raise BadRating("the rater has no name, or one of more than 128 characters; give the name of an account")
    known = [criterion.name for criterion in rubric.criteria]
    if strange := sorted(set(rating.items) - set(known)):
        raise BadRating(f"item '{strange[0]}' is no criterion of rubric '{rubric.name}'; use {', '.join(known)}")
    if len(rating.note) > LONGEST_NOTE:
        raise BadRating(f"the note has {len(rating.note)} characters; keep it to {LONGEST_NOTE}")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
