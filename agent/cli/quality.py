"""`agent quality`: score calls, look at scores, rate calls, compare with people, and see trends and measures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from agent.cli.records import open_database
from agent.clock import RealClock
from agent.config import CONFIGS, Settings, load_settings
from agent.quality.measures import OneCall, Period, as_csv, measures, scored_calls, trends, unscored_in
from agent.quality.plots import SCALES
from agent.quality.plots import by_day as plot
from agent.quality.rubric import Rubrics
from agent.quality.searching import SearchError, load_quality, side_by_side
from agent.quality.service import Quality, QualityError, Rating, facts_from
from agent.records.database import DatabaseError
from agent.records.queries import CallNotFound, Row
from agent.yamlfile import FileError

app = typer.Typer(help="Score calls, rate them, and see trends and measures.", no_args_is_help=True)

T = TypeVar("T")
Config = Annotated[Path | None, typer.Option("--config", help="Settings file; names the database.")]
Url = Annotated[str | None, typer.Option("--database", help="Database URL; default: records.database_url.")]
Folder = Annotated[Path, typer.Option("--rubrics", help="Folder of rubrics.", exists=True, file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Days = Annotated[int, typer.Option(min=1, max=731, help="The last days, today included (UTC).")]
DomainName = Annotated[str | None, typer.Option("--domain", help="Only calls of this domain.")]
RubricName = Annotated[str | None, typer.Option("--rubric", help="Name of the rubric; default: the default one.")]
RUBRICS = CONFIGS / "quality"


@app.command()
def score(
    call: Annotated[str | None, typer.Argument(help="One call; without it, all that need a score.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only calls opened since this time, UTC.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also calls scored by the rubric as it is now.")] = False,
    rubrics: Folder = RUBRICS,
    database: Url = None,
    config: Config = None,
) -> None:
    """Score finished calls that have no score by the rubric as it is now, recorded before or after it was written."""
    from_time = None if since is None else since.replace(tzinfo=UTC)

    async def run(quality: Quality) -> tuple[int, int]:
        if call is not None:
            await quality.score_call(call)
            return 1, 0
        done = failed = 0
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("scoring", total=None)
            async for done, failed, count in quality.score_since(from_time, again):
                progress.update(task, completed=done, total=count, description=f"scoring, {failed} failed")
        return done - failed, failed

    done, failed = _run("score", run, rubrics, database, config)
    typer.echo(f"{done} calls scored" + (f"; {failed} could not be, the log says why" if failed else ""))
    if call is not None:
        show(call, rubrics, database, config)
    raise typer.Exit(1 if failed else 0)


@app.command()
def show(
    call: str, rubrics: Folder = RUBRICS, database: Url = None, config: Config = None, as_json: Json = False
) -> None:
    """Show the score of one call, with the turns that are its evidence."""
    found = _run("show", lambda quality: load_quality(quality.database, call), rubrics, database, config)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(
        f"[bold]{escape(call)}[/]  {found['domain']}  {found['intent'] or ''}  score {_number(found['score'])}"
    )
    if not found["items"]:
        console.print(f"not scored yet: agent quality score {escape(call)}")
    table = Table("criterion", "points", "met", "why", "turns")
    for item in found["items"]:
        points = "" if item["score"] is None else f"{item['score']:g} of {item['weight']:g}"
        met = {True: "yes", False: "[red]no[/]", None: "-"}[item["passed"]]
        table.add_row(escape(item["title"]), points, met, escape(item["why"]), ", ".join(map(str, item["evidence"])))
    console.print(table)
    for item in found["items"]:
        for turn in item["details"] if item["passed"] is False else ():
            console.print(f"  {item['name']}: turn {turn['turn']} {turn['speaker']}: {escape(turn['text'])}")
    how = "the caller's own answer" if found["surveyed"] else "predicted"
    console.print(f"satisfaction {_number(found['satisfaction'])} of 5 ({how})")
    for rating in found["ratings"]:
        console.print(f"{escape(rating['who'])} gave {rating['score']}: {escape(rating['note'])}")


@app.command()
def compare(
    calls: list[str], rubrics: Folder = RUBRICS, database: Url = None, config: Config = None, as_json: Json = False
) -> None:
    """Show two to four calls side by side, criterion by criterion."""
    found = _run("compare", lambda quality: side_by_side(quality.database, calls), rubrics, database, config)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = Table("", *(escape(call["call_id"]) for call in found["calls"]))
    for key in ("intent", "outcome", "emotion", "duration_s", "satisfaction", "score", "human_score"):
        table.add_row(key, *("-" if call[key] is None else escape(str(call[key])) for call in found["calls"]))
    for row in found["items"]:
        cells = ("-" if cell is None else f"{_share(cell['value'])}  {cell['why']}" for cell in row["cells"])
        table.add_row(escape(row["title"]), *map(escape, cells))
    Console().print(table)


@app.command()
def rate(
    call: str,
    given: Annotated[int, typer.Argument(metavar="SCORE", min=0, max=100, help="0 to 100.")],
    rater: Annotated[str, typer.Option("--as", help="Your name.", envvar="USER")],
    met: Annotated[list[str] | None, typer.Option("--met", help="A criterion that was met.")] = None,
    missed: Annotated[list[str] | None, typer.Option("--missed", help="A criterion that was not met.")] = None,
    note: Annotated[str, typer.Option("--note", help="Anything to say.")] = "",
    rubrics: Folder = RUBRICS,
    database: Url = None,
    config: Config = None,
) -> None:
    """Say how good a call was; scores are calibrated against what people say."""
    items = dict.fromkeys(met or (), True) | dict.fromkeys(missed or (), False)
    rating = Rating(call, rater, given, items, note)
    _run("rate", lambda quality: quality.rate(rating), rubrics, database, config)
    typer.echo(f"{call}: {rater} gave {given}")


@app.command()
def calibrate(
    apply: Annotated[bool, typer.Option("--apply", help="Correct all scores, if that is nearer to people.")] = False,
    rubric: RubricName = None,
    rubrics: Folder = RUBRICS,
    database: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare scores with what people gave the same calls."""

    async def run(quality: Quality) -> Row:
        return (await (quality.apply(rubric) if apply else quality.calibration(rubric))).data()

    found = _run("calibrate", run, rubrics, database, config)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    console.print(
        f"{found['pairs']} rated calls; bias {_number(found['bias'])}, mean error {_number(found['mean_error'])} "
        f"points, correlation {_number(found['correlation'], 2)}"
    )
    if found["left_out_error"] is not None:
        slope, offset = found["correction"]["slope"], found["correction"]["offset"]
        said = "applied" if apply else "better: --apply uses it" if found["better"] else "no better, and not used"
        console.print(f"corrected ({offset:+.1f} {slope:+.2f} x score): error {found['left_out_error']:.1f}; {said}")
    table = Table("criterion", "calls", "agreement", "kappa")
    for item in found["items"]:
        table.add_row(item["name"], str(item["pairs"]), f"{item['agreement']:.0%}", _number(item["kappa"], 2))
    console.print(table)
    for one in found["calls"][:5]:
        console.print(f"{one['call_id']}: rubric {one['score']:.0f}, people {one['human_score']:.0f}")


@app.command()
def fit(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how it would do.")] = False,
    rubric: RubricName = None,
    rubrics: Folder = RUBRICS,
    database: Url = None,
    config: Config = None,
) -> None:
    """Fit the prediction of satisfaction to what callers answered; kept only where it predicts others better."""
    found = _run("fit", lambda quality: quality.fit_satisfaction(rubric, not dry_run), rubrics, database, config)
    if found.error is None:
        typer.echo(f"{found.surveys} surveys are too few; the weights stay those of the rubric")
        return
    verdict = "better" if found.better else "no better, and not kept"
    typer.echo(f"{found.surveys} surveys; mean error {found.error_before} before, {found.error} after: {verdict}")


@app.command("trends")
def trends_command(
    days: Days = 30,
    domain: DomainName = None,
    rubrics: Folder = RUBRICS,
    database: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show how scores and criteria went, beside the same length of time before."""
    period = Period.last(days, RealClock().wall())

    async def run(quality: Quality) -> Row:
        return trends(await _calls(quality, period, domain), await _calls(quality, period.before, domain), period)

    found = _run("trends", run, rubrics, database, config)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    console.print(f"score {_number(found['score'])}; before {_number(found['score_before'])}")
    table = Table("criterion", "calls", "met", "before")
    for item in found["items"]:
        table.add_row(escape(item["title"]), str(item["calls"]), _share(item["passed"]), _share(item["before"]))
    console.print(table)
    table = Table("day", "calls", "score", "anger", "satisfaction")
    for day in found["days"]:
        if day["calls"]:
            figures = (_number(day["score"]), _number(day["anger"], 2), _number(day["satisfaction"], 2))
            table.add_row(day["day"], str(day["calls"]), *figures)
    console.print(table)


@app.command("measures")
def measures_command(
    days: Days = 30,
    domain: DomainName = None,
    to_csv: Annotated[Path | None, typer.Option("--csv", help="File for the measures by intent, as CSV.")] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for a plot of each measure, as SVG.")] = None,
    rubrics: Folder = RUBRICS,
    database: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show business measures by intent: containment, transfers, repeat calls, silence, cost."""
    period = Period.last(days, RealClock().wall())

    async def run(quality: Quality) -> tuple[Row, int]:
        found = measures(await _calls(quality, period, domain), period)
        return found, await unscored_in(quality.database, period, domain)

    found, unscored = _run("measures", run, rubrics, database, config)
    rows = [*found["intents"], {"intent": "(all)", **found["all"]}]
    try:
        if to_csv is not None:
            to_csv.write_text("\ufeff" + as_csv(rows), encoding="utf-8")
            typer.echo(to_csv)
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            for name in SCALES:
                (plots / f"{name}.svg").write_text(plot(name, found["days"]), encoding="utf-8")
                typer.echo(plots / f"{name}.svg")
    except OSError as error:
        typer.echo(f"agent quality measures: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif to_csv is None and plots is None:
        columns = ("contained", "transferred", "repeat_7d", "silence")
        table = Table("intent", "calls", "contained", "moved", "repeat", "silence", "cost", "score", "1-5")
        for row in rows:
            shares = (_share(row[name]) for name in columns)
            figures = (_number(row["cost"], 2), _number(row["score"]), _number(row["satisfaction"], 2))
            table.add_row(escape(row["intent"]), str(row["calls"]), *shares, *figures)
        console = Console(highlight=False)
        console.print(table)
        for reason in found["reasons"]:
            console.print(f"{reason['calls']} calls went to a person by {escape(reason['reason'])}")
    if unscored:
        typer.secho(f"{unscored} calls of these days are not scored: agent quality score", fg="yellow", err=True)


@app.command()
def check(rubrics: Folder = RUBRICS) -> None:
    """Check the rubrics of a folder."""
    try:
        for rubric in Rubrics(rubrics).all:
            typer.echo(f"{rubric.name}: {len(rubric.criteria)} criteria, version {rubric.digest}")
    except FileError as error:
        typer.echo(f"agent quality check: {error}", err=True)
        raise typer.Exit(1) from error


def domain_folders(settings: Settings) -> list[Path]:
    """Where the domains of recorded calls are looked for: the configured one, then those that come with the agent."""
    return [settings.domain_path(), CONFIGS / "domains"]


async def _calls(quality: Quality, period: Period, domain: str | None) -> list[OneCall]:
    rubrics = quality.rubrics
    return await scored_calls(
        quality.database,
        period,
        quality.clock.wall(),
        lambda name: rubrics.of(name).prices,
        lambda name: rubrics.of(name).repeat_days,
        domain,
    )


def _run(
    command: str, work: Callable[[Quality], Awaitable[T]], rubrics: Path, url: str | None, config: Path | None
) -> T:
    async def run() -> T:
        settings = load_settings(config)
        facts = facts_from(domain_folders(settings))
        async with open_database(url or settings.records.database_url) as database:
            return await work(Quality(database, Rubrics(rubrics), RealClock(), facts))

    try:
        return asyncio.run(run())
    except (CallNotFound, QualityError, SearchError, DatabaseError, FileError, SQLAlchemyError, OSError) as error:
        message = str(error.args[0]) if error.args and isinstance(error, CallNotFound) else str(error)
        typer.echo(f"agent quality {command}: {message}", err=True)
        raise typer.Exit(1) from error


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
