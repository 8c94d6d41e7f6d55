"""The table of all gateways, made from their records, so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Iterator

from agent.gateways.base import Capabilities
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Gateway

COLUMNS = (
    "gateway",
    "messages",
    "audio",
    "pieces",
    "barge-in",
    "heard by",
    "keys in / out",
    "transfer",
    "hang-up",
    "proof, besides a path token",
    "checked against",
)
_CODECS = {"mulaw": "mu-law", "alaw": "A-law", "pcm16": "L16"}
_TRANSFERS = {
    "rest": "REST of the vendor",
    "close": "the vendor's script goes on",
    "message": "in-band message",
    "none": "no",
}
_HANG_UPS = {"close": "close", "message": "message", "rest": "REST"}
_MARKS = {"played": "marks", "untrue": "clock", "none": "clock"}


def rows() -> Iterator[tuple[str, ...]]:
    """One row a gateway, as `COLUMNS`; plain text."""
    for name, gateway in gateways().items():
        can = gateway.capabilities
        yield (
            name,
            gateway.wire,
            _audio(can),
            _pieces(can),
            _barge_in(can),
            "what it says was spoken" if can.text_out else _MARKS[can.marks] if can.audio_out else "",
            f"{'yes' if can.dtmf_in else 'no'} / {'yes' if can.dtmf_out else 'no'}",
            _transfer(gateway),
            _HANG_UPS[can.hangup],
            ", ".join(way.name for way in gateway.ways) or "none: announced beforehand",
            gateway.verified,
        )


def markdown() -> str:
    """The table as Markdown; each name leads to its page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name, *cells in rows():
        page = "protocol.md" if name == "plain" else f"gateways/{name}.md"
        lines.append("| " + " | ".join([f"[{gateways()[name].title}]({page}) `{name}`", *map(_cell, cells)]) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _audio(can: Capabilities) -> str:
    if can.text_in:
        return "none: text both ways"
    codec = f"{_CODECS[can.encoding.codec]} {can.encoding.rate / 1000:g} kHz"
    return f"{codec}, listened to only" if can.monitor else codec


def _pieces(can: Capabilities) -> str:
    if not can.audio_out:
        return ""
    exactly = "exactly " if can.exact else ""
    limit = f", {can.messages_per_s:g} a second" if can.messages_per_s else ""
    return f"{exactly}{can.frame_ms} ms{limit}"


def _barge_in(can: Capabilities) -> str:
    if can.text_out:
        return "by the gateway"
    if not can.audio_out:
        return ""
    return "clear" if can.clear else f"stops within {can.lead_ms:g} ms"


def _transfer(gateway: Gateway) -> str:
    how = _TRANSFERS[gateway.capabilities.transfer]
    if gateway.capabilities.transfer != "rest":
        return how
    asks = gateway.hook is not None and gateway.asks_after
    if gateway.control is None:
        return "its script asks" if asks else "a socket beside the media's"
    return f"{how}, or its script asks" if asks else how
