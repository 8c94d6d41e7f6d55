"""Logs: one human line on a terminal, one JSON object elsewhere; redacted, with the call's id in every line."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from agent.records.pausing import PausedFilter
from agent.records.redaction import RedactingFilter

call_id: ContextVar[str] = ContextVar("call_id", default="")
"""The call that the running task belongs to."""

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "call_id"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What could end a line or steer a terminal: a caller's words must not be able to forge a log line."""


class _CallId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.call_id = call_id.get()
        return True


class HumanFormatter(logging.Formatter):
    """`12:30:01 warning call c-1a2b: message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        call = getattr(record, "call_id", "")
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{time} {record.levelname.lower():<7} {call + ': ' if call else ''}{record.getMessage()}{extra}"
        line = _CONTROL.sub(lambda found: repr(found.group())[1:-1], line)
        return f"{line}\n{record.exc_text}" if record.exc_text else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, call_id, message, and whatever else the line carries."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "call_id": getattr(record, "call_id", ""),
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        written = json.dumps(line, ensure_ascii=False, default=str)
        return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", written)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def set_up_logs(level: str, form: Literal["auto", "human", "json"]) -> None:
    """Send all logs to standard error in the given form; `auto` is human on a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    human = form == "human" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    handler.addFilter(_CallId())
    handler.addFilter(RedactingFilter())
    handler.addFilter(PausedFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "aiosqlite", "alembic", "faster_whisper", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
