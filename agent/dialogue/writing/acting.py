"""Letting a model use the actions of one step. What it may do is decided here, not by what it was told.

Whatever a caller, a section or a result makes the model ask for: only actions in `tools` can run, of these only the
read-only ones, and those that need a proven caller only for one who is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.dialogue.writing.asking import Asking
from agent.dialogue.writing.contracts import ActionTool, Proposal, Reason, RunAction
from agent.dialogue.writing.private import Private
from agent.dialogue.writing.prompts import NOTHING
from agent.dialogue.writing.tools import Refused, Result, checked, offered, shown, told
from models.llm.contracts import Message, ToolCall
from models.llm.errors import LanguageModelError
from models.llm.guard import Limits

log = logging.getLogger(__name__)

MOST_ROUNDS = 4
"""Times the model is asked for one goal; a task that needs more is a flow's."""
MOST_RUNS = 6
"""Actions run for one goal."""

Ran = tuple[str, Mapping[str, Any], Mapping[str, Any]]


@dataclass
class Doing:
    """What came of it so far; `sentences` are the model's own, not checked. `results` are what they may rest on."""

    proposal: Proposal | None = None
    sentences: tuple[str, ...] = ()
    results: list[Result] = field(default_factory=list)
    runs: list[Ran] = field(default_factory=list)
    refusals: list[tuple[str, Reason]] = field(default_factory=list)
    reason: Reason | None = None

    @property
    def ran(self) -> tuple[Ran, ...]:
        """Read-only actions that ran."""
        return tuple(self.runs)

    @property
    def refused(self) -> tuple[tuple[str, Reason], ...]:
        """What was not allowed."""
        return tuple(self.refusals)


async def act(
    asking: Asking,
    limits: Limits,
    messages: Sequence[Message],
    tools: Sequence[ActionTool],
    run: RunAction,
    verified: bool,
    private: Private,
    language: str,
) -> Doing:
    """Ask, run what may run, tell its result, until the model says something, proposes something or runs out."""
    doing = Doing()
    talk = list(messages)
    listed = offered(tools, verified)
    if not listed:
        doing.reason = "no_tools"
        return doing
    for _ in range(MOST_ROUNDS):
        try:
            whole = await asking.whole(talk, limits, listed)
        except LanguageModelError as error:
            doing.reason = error.code
            return doing
        if not whole.calls:
            if whole.text.strip(" .").upper() == NOTHING or not whole.text:
                doing.reason = "empty"
            else:
                doing.sentences = whole.sentences
            return doing
        talk.append(Message("assistant", whole.text, whole.calls))
        for call in whole.calls:
            answer = await _do(call, doing, asking, tools, run, verified, private, language)
            if doing.proposal is not None:
                return doing
            talk.append(Message("tool", answer, call_id=call.id))
    doing.reason = "rounds"
    return doing


async def _do(
    call: ToolCall,
    doing: Doing,
    asking: Asking,
    tools: Sequence[ActionTool],
    run: RunAction,
    verified: bool,
    private: Private,
    language: str,
) -> str:
    """Do what one call asks for, if it may be done; what to tell the model."""
    try:
        tool, arguments = checked(call, tools, verified, private)
        if tool.side_effects:
            doing.proposal = Proposal(tool.name, arguments)
            return ""
        if len(doing.runs) >= MOST_RUNS:
            raise Refused("rounds", "no more tools can be used; answer now")
        result = await run(tool.name, arguments)
    except Refused as refusal:
        doing.refusals.append((call.name, refusal.reason))
        return json.dumps({"error": str(refusal)})
    except Exception:
        log.exception("action %s failed when a language model asked for it", call.name)
        doing.refusals.append((call.name, "action_failed"))
        return json.dumps({"error": "the action failed; do not try it again"})
    doing.runs.append((tool.name, arguments, result))
    doing.results.append(told(tool, result, asking.clock.wall().date(), language))
    return shown(result, private)
