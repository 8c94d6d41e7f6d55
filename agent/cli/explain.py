"""`agent explain`: why a text, or a turn of a recorded call, was understood as it was."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from agent.cli.records import open_database
from agent.cli.settings import settings_or_leave
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain
from agent.learning.opening import Choice, Opener, examples_of, up_to_date
from agent.records.database import DatabaseError
from agent.records.queries import CallNotFound, Row, turns_after
from agent.yamlfile import FileError
from models.contracts import OUT_OF_SCOPE, UnderstandingContext
from models.encoder import SentenceEncoder
from models.errors import ModelError, ModelMissing
from models.explain import NEAREST, Decided, ExamplesIndex, Explanation, WordShare
from models.explain import explain as explain_text
from models.heads import IntentHead, load_head
from models.registry import BUILT_IN, Registry, UnknownVersion
from models.slots import SlotSpec
from models.text_emotion import TextEmotionModel
from models.text_model_open import open_text_model
from models.understanding import TurnUnderstanding

_BAR = 20
"""Cells of the longest bar."""
_PLACEHOLDER = re.compile(r"\[(?:card|email|phone|digits)\]")


def explain(
    text: Annotated[str | None, typer.Argument(help="What a caller says.")] = None,
    call: Annotated[str | None, typer.Option(help="Id of a recorded call; with --turn, instead of a text.")] = None,
    turn: Annotated[int | None, typer.Option(help="Number of the caller's turn in that call.", min=0)] = None,
    domain: Annotated[
        str | None, typer.Option(help="Domain, by name or folder; default: dialogue.domain of the settings.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Version, `head`, or a version's folder; default: the one in service.")
    ] = None,
    expects: Annotated[
        list[str] | None, typer.Option(help="Slot that the agent had asked for; may be given again.")
    ] = None,
    yes_no: Annotated[bool, typer.Option("--yes-no", help="The agent had asked a question of yes or no.")] = False,
    nearest: Annotated[int, typer.Option(help="Nearest training examples shown.", min=0, max=100)] = NEAREST,
    database: Annotated[str | None, typer.Option(help="Database URL; default: records.database_url.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
) -> None:
    """Show why a text is understood as it is: intent and ranking, nearest training examples, what each word counts.

    With --call and --turn, a turn of a recorded call, by the version that served it.
    """
    errors = Console(stderr=True)
    settings = settings_or_leave(config)
    if domain is not None:
        settings = settings.model_copy(update={"dialogue": settings.dialogue.model_copy(update={"domain": domain})})
    notes: list[str] = []
    try:
        if (text is None) == (call is None) or (call is None) != (turn is None):
            raise typer.BadParameter("give a text, or --call with --turn")
        chosen = load_domain(settings.domain_path())
        encoder = SentenceEncoder()
        registry = Registry(settings.understanding.versions)
        opener = Opener(registry, chosen, encoder, settings.understanding.cache, encoder_id=encoder.identity)
        decided = None
        if call is not None and turn is not None:
            recorded = asyncio.run(_recorded(database or settings.records.database_url, call, turn))
            text, decided = recorded["text"], _decided(recorded)
            choice = _served(opener, model or recorded["model"], model is not None, notes)
            if _PLACEHOLDER.search(recorded["text"]):
                notes.append("the recorded text is redacted, so the model may have read other words")
        else:
            choice = _opened(opener, model, encoder, notes)
        assert text is not None
        if decided is None:
            context = UnderstandingContext(tuple(expects or ()), yes_no, chosen.manner.language)
            decided = _understood(text, choice, chosen, encoder, context)
        found = explain_text(choice.model, text, _examples(opener, choice, model, notes), nearest, decided)
    except (CallNotFound, DatabaseError, FileError, ModelError, SQLAlchemyError, OSError, ValueError) as error:
        message = error.args[0] if isinstance(error, CallNotFound) else error
        errors.print(f"[red]No explanation:[/] {escape(str(message))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(found.document() | {"notes": notes}, indent=2, ensure_ascii=False))
    else:
        _show(Console(), found, notes)


def _opened(opener: Opener, named: str | None, encoder: SentenceEncoder, notes: list[str]) -> Choice:
    if named is None:
        choice, _ = opener.open_current()
        notes += [choice.problem] if choice.problem else []
        return choice
    if (folder := Path(named)).is_dir() and named not in BUILT_IN:
        model = open_text_model(folder, encoder)
        members = model.info.members
        alone = len(members) == 1 and members[0].file.endswith(".npz")
        head = IntentHead(*load_head(folder / members[0].file)) if alone else None
        return Choice(model, model.info.version, head)
    return opener.open(named)


def _served(opener: Opener, version: str | None, asked: bool, notes: list[str]) -> Choice:
    """The version that served a recorded turn; where it is gone, the one in service, and a note."""
    if version is not None:
        try:
            choice = opener.open(version)
            if version in BUILT_IN and not asked:
                notes.append(
                    f"the turn was served by `{version}`, which follows the domain; its examples may have changed"
                )
            return choice
        except (UnknownVersion, ModelMissing) as error:
            if asked:
                raise
            gone = str(error)
    choice, _ = opener.open_current()
    if version is None:
        notes.append(f"the record does not say which version served this turn; explained by {choice.version}")
    else:
        notes.append(f"{version} served this turn and is gone ({gone}); explained by {choice.version}")
    return choice


def _examples(opener: Opener, choice: Choice, named: str | None, notes: list[str]) -> ExamplesIndex | None:
    """The training examples of a version: those kept in its folder, or the domain's where it follows these."""
    folder = Path(named) if named and Path(named).is_dir() and named not in BUILT_IN else None
    if folder is None and choice.version not in BUILT_IN:
        folder = opener.registry.path(opener.name, choice.version)
    if folder is not None:
        try:
            return ExamplesIndex.load(folder)
        except ModelMissing as error:
            if not up_to_date(choice.model.info, opener.domain):
                notes.append(str(error))
                return None
    intents, outside = examples_of(opener.domain)
    rows = [(text, name) for name, texts in intents.items() for text in texts]
    return ExamplesIndex.of(choice.model, rows + [(text, OUT_OF_SCOPE) for text in outside])


def _understood(
    text: str,
    choice: Choice,
    domain: Domain,
    encoder: SentenceEncoder,
    context: UnderstandingContext,
) -> Decided:
    """What the rules of the dialogue make of the text where `context` is asked."""
    unknown = sorted(set(context.expected_slots) - set(domain.slots))
    if unknown:
        known = ", ".join(sorted(domain.slots))
        raise ValueError(f"--expects {unknown[0]}: {domain.name} has no such slot; there are: {known}")
    specs = [SlotSpec(name, slot.type, slot.options) for name, slot in domain.slots.items()]
    emotion = TextEmotionModel(encoder, language=domain.manner.language)
    understanding = TurnUnderstanding(choice.model, specs, emotion, lambda: datetime.now(UTC).date())
    return Decided.of(understanding.understand(text, context))


async def _recorded(url: str, call: str, number: int) -> Row:
    async with open_database(url) as database:
        turns = await turns_after(database, call, -1)
    said = [turn for turn in turns if turn["speaker"] == "caller" and turn["text"].strip()]
    if not turns:
        raise CallNotFound(f"there is no call {call!r}; `agent records list` lists those there are")
    found = next((turn for turn in said if turn["number"] == number), None)
    if found is None:
        spoken = ", ".join(str(turn["number"]) for turn in said) or "none"
        raise CallNotFound(f"the caller said nothing in turn {number} of {call}; turns with words: {spoken}")
    return found


def _decided(turn: Row) -> Decided:
    emotion = turn["emotion"].get("words")
    return Decided(
        turn["intent"] or OUT_OF_SCOPE, turn["confidence"] or 0.0, turn["slots"], {emotion: 1.0} if emotion else {}
    )


def _show(console: Console, found: Explanation, notes: list[str]) -> None:
    console.print(f"[bold]{escape(found.text)}[/]", highlight=False)
    console.print(
        f"[bold]{found.intent}[/] {found.confidence:.2f}   {escape(found.reason)}", highlight=False, soft_wrap=True
    )
    console.print(f"[dim]model {found.version} ({found.method}), threshold {found.threshold:.2f}[/]", highlight=False)
    ranking = Table("intent", "probability", "", title="ranking", title_justify="left", box=None)
    for name, chance in found.ranking[:NEAREST]:
        ranking.add_row(name, f"{chance:.3f}", "[cyan]" + "█" * round(_BAR * chance) + "[/]")
    console.print(ranking)
    if found.words:
        console.print(_words_table(found.words, found.explained))
    if found.nearest:
        near = Table("cosine", "intent", "example", title="nearest training examples", title_justify="left", box=None)
        for example in found.nearest:
            near.add_row(f"{example.similarity:.2f}", example.label, escape(example.text))
        console.print(near)
    for span in found.spans:
        words = escape(found.text[span.start : span.end])
        console.print(f"slot in the words: {span.name} = “{words}” ({span.probability:.2f})", highlight=False)
    if found.slots:
        console.print("slots: " + escape(", ".join(f"{name} = {value}" for name, value in found.slots.items())))
    if found.emotions:
        console.print("emotion of the words: " + _emotions(found.emotions), highlight=False)
    for note in notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)


def _words_table(words: tuple[WordShare, ...], explained: str) -> Table:
    """Words in order; a bar to the right where a word speaks for the intent, to the left where it speaks against."""
    table = Table(
        "word",
        "",
        "",
        "share",
        "change",
        title=f"what each word counts for {explained}",
        title_justify="left",
        box=None,
    )
    table.columns[1].justify = "right"
    most = max(abs(word.share) for word in words) or 1.0
    for word in words:
        bar = "█" * round(_BAR * abs(word.share) / most)
        against, speaks_for = (f"[red]{bar}[/]", "") if word.share < 0 else ("", f"[green]{bar}[/]")
        table.add_row(escape(word.word), against, speaks_for, f"{100 * word.share:+.0f} %", f"{word.change:+.3f}")
    return table


def _emotions(emotions: Mapping[str, Any]) -> str:
    ranked = sorted(emotions.items(), key=lambda row: -row[1])
    return ", ".join(f"{label} {chance:.2f}" for label, chance in ranked[:3])
