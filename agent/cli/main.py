"""The `agent` command."""

from __future__ import annotations

import os
import sys

import typer

from agent.cli import (
    bench,
    call,
    config,
    console,
    demo,
    doctor,
    domain,
    evaluate,
    explain,
    gateways,
    handoffs,
    knowledge,
    label,
    learn,
    models,
    quality,
    records,
    replay,
    serve,
    simulate,
    train,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A call-center agent for the telephone: serve it, call it, look after it.",
)


@app.callback()
def start() -> None:
    """A call-center agent for the telephone: serve it, call it, look after it."""
    # Entry points of domains (`module:function`) are looked for here, too; never in place of what is installed.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


app.command()(serve.serve)
app.command()(call.call)
app.command()(demo.demo)
app.command()(simulate.simulate)
app.command()(replay.replay)
app.command()(bench.bench)
app.command()(doctor.doctor)
app.command("gateways")(gateways.gateways_command)
app.add_typer(train.app, name="train", help="Fine-tune understanding, emotion and replies on data of your own.")
app.command()(explain.explain)
app.command()(label.label)
app.command()(learn.learn)
app.add_typer(models.app, name="models")
app.add_typer(domain.app, name="domain")
app.add_typer(knowledge.app, name="knowledge", help="What a domain knows: add files, list sections, ask, remove.")
app.command("config")(config.config)
app.add_typer(records.app, name="records", help="List, show and export recorded calls.")
app.add_typer(handoffs.app, name="handoffs", help="What hooks could not be told of handoffs.")
app.add_typer(console.app, name="console", help="Who may sign in to the console.")
app.add_typer(quality.app, name="quality", help="Score calls, rate them, and see trends and measures.")
app.add_typer(evaluate.app, name="evaluate", help="Measure models, memory and start.")

if __name__ == "__main__":
    app()
