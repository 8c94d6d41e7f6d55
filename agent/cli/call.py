"""`agent call`: talk to the agent with a microphone, a WAV file or the keyboard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.turns import TurnPrinter
from agent.lab.conversation import Conversation, by_microphone, by_text, by_wav
from agent.lab.line import LineError
from agent.lab.local_server import ServerFailed, local_server
from audio.devices import DeviceError, list_devices

_LOG = Path("var/call-server.log")


def call(
    url: Annotated[
        str | None,
        typer.Option(help="A running server, as http://127.0.0.1:8080; without it one is started here."),
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Speak with the microphone; a headset avoids echo.")] = False,
    wav: Annotated[
        Path | None, typer.Option(help="Play this WAV file to the agent in real time.", exists=True, dir_okay=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write both sides to this WAV file: caller left, agent right.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Type instead of speaking; one line is one turn.")] = False,
    token: Annotated[
        str | None, typer.Option(envvar="AGENT_CALL_TOKEN", help="Bearer token, where the server asks for one.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration of the server started here.", exists=True, dir_okay=False)
    ] = None,
    input_device: Annotated[str | None, typer.Option(help="Microphone: number or part of its name.")] = None,
    output_device: Annotated[str | None, typer.Option(help="Loudspeaker: number or part of its name.")] = None,
    show_devices: Annotated[bool, typer.Option("--list-devices", help="List sound devices and leave.")] = False,
    life: Annotated[float, typer.Option(help="Hang up after this many seconds.", min=1, max=3600)] = 900.0,
) -> None:
    """Call the agent from this machine; choose one of --mic, --wav FILE or --text.

    With --mic, keys 0-9, * and # (then Enter) are telephone keys and q hangs up. With --text, an empty line or q hangs
    up. Captions, the state of the call and the latency of each turn are shown as they come. The exit status is 1 when
    the call was broken off by the server, 2 when it could not be made.
    """
    console = Console()
    try:
        if show_devices:
            _list_devices(console)
            return
        if mic + (wav is not None) + text != 1:
            raise typer.BadParameter("give exactly one of --mic, --wav FILE or --text")
        if url is not None and config is not None:
            raise typer.BadParameter("--config is for the server started here; with --url there is none")
        screen = _Screen(console)
        talk = Conversation(token=token, life_s=life, out=out, on_told=screen.told)
        devices = _device(input_device), _device(output_device)
        ended = asyncio.run(_call(screen, talk, url, config, mic, wav, devices))
    except (LineError, ServerFailed, DeviceError, ValueError, OSError) as error:
        console.print(f"[red]No call:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    console.print(f"[dim]The call is over ({ended}).[/dim]", highlight=False)
    if out is not None:
        console.print(f"Both sides are in {out}", highlight=False)
    raise typer.Exit(1 if ended.startswith("closed:") and ended != "closed:1000" else 0)


async def _call(
    screen: _Screen,
    talk: Conversation,
    url: str | None,
    config: Path | None,
    mic: bool,
    wav: Path | None,
    devices: tuple[int | str | None, int | str | None],
) -> str:
    async with _server(screen.console, url, config) as address:
        with screen:
            if mic:
                return await by_microphone(talk, address, *devices, screen.console.print)
            if wav is not None:
                return await by_wav(talk, address, wav)
            return await by_text(talk, address)


@contextlib.asynccontextmanager
async def _server(console: Console, url: str | None, config: Path | None) -> AsyncIterator[str]:
    if url is not None:
        yield url
        return
    console.print(f"Starting a server; its log is {_LOG} ...", highlight=False)
    async with local_server(_LOG, ("--config", str(config)) if config else ()) as address:
        yield address


def _device(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdecimal() else name


def _list_devices(console: Console) -> None:
    table = Table("", "name", "in", "out", "Hz", "usual")
    for device in list_devices():
        usual = " and ".join(
            name for name, is_default in (("in", device.default_input), ("out", device.default_output)) if is_default
        )
        table.add_row(
            str(device.index), escape(device.name), str(device.inputs), str(device.outputs), str(device.rate), usual
        )
    console.print(table if table.row_count else "This machine has no sound device; use --wav or --text.")


class _Screen:
    """Shows one call: what is settled line by line, and below it the state and the words being heard."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._turns = TurnPrinter(console)
        self._detailed: set[object] = set()
        self._state = "connecting"
        self._status = console.status(self._state)

    def __enter__(self) -> _Screen:
        self._status.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._status.stop()

    def told(self, message: Mapping[str, Any]) -> None:
        """Show one message of the server's."""
        match message.get("type"):
            case "caption":
                self._caption(str(message.get("speaker")), str(message.get("text")), bool(message.get("final")))
            case "turn" if message.get("number") not in self._detailed:
                self._detailed.add(message.get("number"))
                self._turns.detail(message)
            case "state":
                self._state = str(message.get("state")).lower()
                self._status.update(escape(self._state))
            case "transfer":
                target = escape(str(message.get("target")))
                self.console.print(f"[magenta]The agent transfers the call to {target}.[/magenta]", highlight=False)

    def _caption(self, speaker: str, text: str, final: bool) -> None:
        # The agent's sentences are final as they come; its closing caption only repeats what was heard of them.
        if final is (speaker == "caller"):
            self._turns.say(speaker, text)
        elif speaker == "caller":
            self._status.update(f"{escape(self._state)}: {escape(text)} ...")
