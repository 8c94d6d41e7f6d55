"""The public pages' side of the plain protocol: what strangers may say in it, and what they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from agent.gateways.base import CallStarted, Capabilities, Command, Dtmf, Event, Fault, ShowTurn, TextIn
from agent.gateways.messages import UNSUPPORTED
from agent.gateways.plain import PlainProtocol

NAMES = {"chat": "web-chat", "call": "web-call"}
"""How calls by the pages are named in records, by kind of visit."""


class WebProtocol:
    """One connection of a page: the plain protocol, with what the page claims left out.

    A visitor is nobody in particular: the caller's number, the number called and the call's id of a start are dropped
    (they would open another's profile or call), and so are parameters. Turns are not shown, since they say what the
    agent understood and why. There is nowhere to transfer a browser to.
    """

    def __init__(
        self,
        visit_id: str,
        kind: Literal["chat", "call"],
        language: str,
        said: Callable[[], None] = lambda: None,
    ) -> None:
        """`visit_id`: every connection of this visit starts with it. `said` is told when something is typed."""
        self.name = NAMES[kind]
        self._plain = PlainProtocol(visit_id)
        self._visit_id = visit_id
        self._kind = kind
        self._language = language
        self._said = said
        self._able = self._plain.capabilities
        self._capabilities = replace(self._able, transfer="none")

    @property
    def capabilities(self) -> Capabilities:
        """What this page can do; rate and marks are final once the start was received."""
        if self._able is not self._plain.capabilities:
            self._able = self._plain.capabilities
            self._capabilities = replace(self._able, transfer="none")
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events."""
        return tuple(self._ours(event) for event in self._plain.receive(message))

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages."""
        return () if isinstance(command, ShowTurn) else self._plain.send(command)

    def _ours(self, event: Event) -> Event:
        if isinstance(event, TextIn | Dtmf):
            self._said()
        if not isinstance(event, CallStarted):
            return event
        able = self._plain.capabilities
        if self._kind == "chat" and (able.audio_in or able.audio_out):
            return Fault(
                "unsupported_mode", 'start: a chat has no sound; send mode "text" and audio false', UNSUPPORTED
            )
        if self._kind == "call" and not (able.audio_in and able.audio_out):
            return Fault("unsupported_mode", 'start: a call has sound; send mode "voice"', UNSUPPORTED)
        parameters = {"language": self._language} if self._language else {}
        return CallStarted(self._visit_id, event.stream_id, parameters=parameters)
