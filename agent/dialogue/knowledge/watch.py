"""The knowledge that calls use, and the watch that builds it anew when its files change."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from agent.clock import Clock
from agent.dialogue.knowledge.base import Found, KnowledgeBase
from agent.dialogue.knowledge.folder import signature
from agent.yamlfile import FileError

log = logging.getLogger(__name__)

EVERY_S = 3.0
"""How often the files are looked at: a few stats each time."""


class LiveKnowledge:
    """Answers by the knowledge in force. A swap is one assignment: a search ends in the knowledge it began in."""

    def __init__(self, base: KnowledgeBase | Callable[[], KnowledgeBase], sections: int = 0) -> None:
        """`base`, or what makes it when it is first searched; of that, `sections` says how many it has."""
        self._make = None if isinstance(base, KnowledgeBase) else base
        self._base = base if isinstance(base, KnowledgeBase) else None
        self._sections = sections
        self._making = threading.Lock()

    def swap(self, base: KnowledgeBase) -> None:
        """Answer by `base` from now on."""
        self._base = base

    @property
    def sections(self) -> int:
        """How many sections are searched."""
        return self._sections if self._base is None else len(self._base.facts)

    def find(self, question: str, about: str | None = None) -> Found | None:
        """As `KnowledgeBase.find`."""
        return (self._base or self._made()).find(question, about)

    def _made(self) -> KnowledgeBase:
        with self._making:
            if self._base is None and self._make is not None:
                made = self._make()
                self._base = self._base or made
        if self._base is None:
            raise RuntimeError("there is no knowledge and nothing that makes it")
        return self._base


class KnowledgeWatch:
    """Looks whether the files of a domain's knowledge changed and brings them into service while calls go on.

    `run` is a task of the server's. A file that is wrong leaves the knowledge in force; `problem` says why until the
    files change again, and it is logged once. Files are read when they have kept still from one look to the next, so
    that one that is being copied is not taken half.
    """

    def __init__(
        self,
        folder: Path,
        build: Callable[[], KnowledgeBase],
        live: LiveKnowledge,
        clock: Clock,
        every_s: float = EVERY_S,
        counted: Callable[[str], None] = lambda result: None,
    ) -> None:
        """folder: the domain's. build: reads it and makes the index; may block for minutes, and raise `FileError`.

        counted: told "swapped" or "failed" each time, for metrics.
        """
        self._folder = folder
        self._build = build
        self._live = live
        self._clock = clock
        self._every_s = every_s
        self._counted = counted
        self._in_force = signature(folder)
        self._seen = self._in_force
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the files as they are now are not in force; None where they are."""
        return self._problem

    def report(self) -> dict[str, int | str | None]:
        """For /ready, JSON-ready."""
        return {"sections": self._live.sections, "problem": self._problem}

    async def run(self) -> None:
        """Look every so often until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now_ms() + self._every_s * 1000.0)
            await self.look()

    async def look(self) -> None:
        """Bring the files into service, if they changed and keep still."""
        now = await asyncio.to_thread(signature, self._folder)
        still, self._seen = now == self._seen, now
        if now == self._in_force or not still:
            return
        self._in_force = now
        try:
            base = await asyncio.to_thread(self._build)
        except FileError as error:
            self._failed(str(error))
            return
        except Exception as error:
            # Whatever a reader of foreign files may raise, calls go on with the knowledge they have.
            self._failed(f"{self._folder}: {type(error).__name__}: {error}")
            return
        self._problem = None
        self._live.swap(base)
        self._counted("swapped")
        log.info("knowledge of %s was read again: %d sections", self._folder.name, len(base.facts))

    def _failed(self, problem: str) -> None:
        self._problem = problem
        self._counted("failed")
        log.error(
            "knowledge of %s cannot be used as it is now; what was there stays in force: %s",
            self._folder.name,
            problem,
            extra={"code": "knowledge_not_used"},
        )
