"""`agent train`: models of your own."""

from __future__ import annotations

import typer

from agent.cli.train_emotion import train_emotion
from agent.cli.train_reply import train_reply
from agent.cli.train_understanding import train_understanding

app = typer.Typer(no_args_is_help=True)
app.command("understanding")(train_understanding)
app.command("emotion")(train_emotion)
app.command("reply")(train_reply)
