"""`python -m agent.lab.dated_server TIME --config FILE`: `agent serve` on another day."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from agent.clock import RealClock
from agent.config import load_settings
from agent.lab.local_server import READY
from agent.logs import set_up_logs
from agent.records.database import DatabaseError
from agent.serving import ServeError, bind, serve
from agent.yamlfile import FileError
from models.errors import ModelError


class DatedClock(RealClock):
    """The machine's clock, but the time of day was `began` when this was made."""

    def __init__(self, began: datetime) -> None:
        self._began = began
        self._made_ms = self.now_ms()

    def wall(self) -> datetime:
        return self._began + timedelta(milliseconds=self.now_ms() - self._made_ms)


def main() -> None:
    """Serve on a free loopback port until a signal, and print the address once calls are taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("began", type=datetime.fromisoformat, help="time of day at the start, with its zone")
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args()
    try:
        settings = load_settings(given.config)
        settings = settings.model_copy(update={"server": settings.server.model_copy(update={"port": 0})})
        set_up_logs(settings.logs.level, settings.logs.format)
        serve(
            settings,
            bind(settings, insecure=True),
            True,
            lambda address: print(f"{READY}{address}", flush=True),
            DatedClock(given.began),
        )
    except (ServeError, FileError, ModelError, DatabaseError, SQLAlchemyError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
