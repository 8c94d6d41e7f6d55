"""Exotel AgentStream (Voicebot applet): L16 in pieces of about 100 ms."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.gateways.base import Capabilities
from agent.gateways.dialect import L16, Dialect, StreamProtocol
from agent.gateways.gateway import Gateway
from agent.gateways.ways import Basic
from audio.codec import Encoding

_LEAST = 3200  # bytes of one message; smaller ones are cut by the jitter of the network
_MULTIPLE = 320  # bytes; with others Exotel waits for the rest


def _framed(encoding: Encoding) -> Mapping[str, float]:
    # the shortest pieces of whole 20 ms that have at least 3,200 bytes and are a multiple of 320
    frame_ms = next(ms for ms in range(100, 220, 20) if encoding.rate * ms // 500 >= _LEAST)
    return {"frame_ms": frame_ms, "lead_ms": 2.0 * frame_ms}


EXOTEL_CAPABILITIES = Capabilities(
    encoding=Encoding("pcm16", 8000),
    frame_ms=200,
    exact=True,
    bulk=True,
    lead_ms=400.0,
    max_out=100_000,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="close",
    hangup="close",
)
DIALECT = Dialect(
    name="exotel",
    capabilities=EXOTEL_CAPABILITIES,
    formats=MappingProxyType({"audio/x-raw": "pcm16", "base64": "pcm16", "raw/slin": "pcm16", **L16}),
    rates=MappingProxyType({"pcm16": (8000, 16000, 24000)}),
    stream="stream_sid",
    call="call_sid",
    account="account_sid",
    caller="from",
    called="to",
    parameters="custom_parameters",
    media_format="media_format",
    rate="sample_rate",
    channels=None,
    sequence="sequence_number",
    framed=_framed,
    least=_LEAST,
    multiple=_MULTIPLE,
)
EXOTEL = Gateway(
    name="exotel",
    title="Exotel AgentStream",
    new=lambda opening: StreamProtocol(DIALECT),
    capabilities=EXOTEL_CAPABILITIES,
    ways=(Basic(),),
    wire="text JSON, base64; L16 little-endian 8/16/24 kHz, at least 3,200 bytes a message",
    verified="documents",
)
