from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.gateways import base

GOLDEN = Path(__file__).parent / "golden"


def event_from(row: dict[str, Any]) -> base.Event:
    """The event a golden row describes. Bytes are written as hex; a fault's detail is left to other tests."""
    fields = dict(row)
    kind = getattr(base, fields.pop("event"))
    if "audio" in fields:
        fields["audio"] = bytes.fromhex(fields["audio"])
    if kind is base.Fault:
        fields["detail"] = ""
    return kind(**fields)


def without_detail(event: base.Event) -> base.Event:
    if isinstance(event, base.Fault):
        assert event.detail, f"fault {event.code} explains nothing"
        return base.Fault(event.code, "", event.close)
    return event


def check_golden(name: str, protocol: base.GatewayProtocol) -> None:
    """Feed a recorded conversation line by line. Rows: {"in": text or object, or "hex": bytes; "out": events}."""
    for number, line in enumerate((GOLDEN / f"{name}.jsonl").read_text().splitlines(), start=1):
        row = json.loads(line)
        message: str | bytes
        if "hex" in row:
            message = bytes.fromhex(row["hex"])
        else:
            message = row["in"] if isinstance(row["in"], str) else json.dumps(row["in"])
        got = [without_detail(event) for event in protocol.receive(message)]
        assert got == [event_from(expected) for expected in row["out"]], f"{name}.jsonl line {number}"


@pytest.fixture
def golden() -> Any:
    return check_golden
