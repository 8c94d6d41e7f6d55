"""Opening the writer that is configured: a server of language models, a model of this machine, or none."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.clock import Clock
from agent.config import LlmSettings, Settings
from agent.dialogue.writing.asking import Asking, Deadlines
from agent.dialogue.writing.contracts import Count, Writer
from agent.dialogue.writing.writer import ModelWriter
from models.contracts import Encoder
from models.llm.contracts import LanguageModel
from models.llm.guard import Guard
from models.llm.http import HttpLanguageModel
from models.pool import Pool, Priority

T = TypeVar("T")

log = logging.getLogger(__name__)


def open_writer(
    settings: Settings,
    clock: Clock,
    pool: Pool,
    *,
    encoder: Encoder,
    business: str = "",
    persona: str = "",
    count: Count = lambda use, outcome, reason: None,
) -> Writer | None:
    """The writer of `settings.llm`, or None where the backend is `none`. Close it with `aclose`.

    A server is not called here; a model of this machine is loaded, which blocks: call it in a thread.

    Args:
        encoder: tells whether a sentence means what a section says; run on `pool`.
        business, persona: the domain's.
        count: told of every outcome, for metrics.

    Raises:
        models.errors.ModelError: a model of this machine cannot be loaded.
    """
    chosen = settings.llm
    model = _open_model(settings)
    if model is None:
        return None
    hide = chosen.redact == "always" or (chosen.redact == "auto" and not model.local)
    if chosen.redact == "never" and not model.local:
        log.warning("llm.redact is never: callers' numbers, addresses and names go to %s as they are", chosen.base_url)
    asking = Asking(
        Guard(model, clock, chosen.concurrent),
        clock,
        encoder,
        _on(pool),
        chosen.max_tokens,
        chosen.temperature,
    )
    return ModelWriter(
        asking,
        uses=(*chosen.uses, "instruct"),
        deadlines=_deadlines(chosen),
        hide=hide,
        business=business,
        persona=persona,
        count=count,
    )


def _open_model(settings: Settings) -> LanguageModel | None:
    chosen, key = settings.llm, settings.secrets.llm_key
    if chosen.backend == "none" or chosen.model is None:
        return None
    if chosen.backend == "openai":
        return HttpLanguageModel(
            chosen.base_url,
            chosen.model,
            key.get_secret_value() if key is not None else None,
            connect_s=chosen.connect_s,
            max_bytes=chosen.max_response_kb * 1024,
            connections=chosen.concurrent,
            options=chosen.options,
        )
    from models.llm.local import TransformersLanguageModel

    return TransformersLanguageModel(
        chosen.model, adapter=chosen.adapter, device=chosen.device, allow_download=chosen.allow_download
    )


def _deadlines(chosen: LlmSettings) -> Deadlines:
    return Deadlines(
        chosen.first_token_s * 1000.0,
        chosen.first_sentence_s * 1000.0,
        chosen.gap_s * 1000.0,
        chosen.total_s * 1000.0,
    )


def _on(pool: Pool) -> Callable[[Callable[[], T]], Awaitable[T]]:
    async def run(work: Callable[[], T]) -> T:
        return await pool.run(Priority.UNDERSTANDING, work)

    return run
