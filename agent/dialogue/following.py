"""An answer worded as a person at a console asked: what of the planned parts a language model may change. Pure.

What must be heard, and the question that a flow asks, are said as they are written. What the model's sentences do not
say is said after them as it was planned, so that a caller loses nothing to an instruction, unless that asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.dialogue.contracts import Expect, Part, Say
from agent.dialogue.instructing import Instruction
from agent.dialogue.text import sentences
from agent.dialogue.writing.instructed import may_leave_out, stands_for


@dataclass(frozen=True, slots=True)
class Planned:
    """An answer as it is planned: all its parts, and the sentences of them that a model may change.

    asked: the sentences of the question that a flow asks with it.
    """

    parts: Sequence[Part]
    changeable: Sequence[Say]
    asked: Sequence[Say]


def planned(parts: Sequence[Part], question: str) -> Planned:
    """The plan of `parts`; `question` is the one that is open now."""
    words = set(sentences(question))
    says = [part for part in parts if isinstance(part, Say) and not part.must_hear]
    asked = [say for say in says if say.text in words]
    return Planned(parts, [say for say in says if say not in asked], asked)


def remaining(
    plan: Planned, wording: Sequence[str], instructions: Sequence[str], own: Say | None, expect: Expect | None
) -> list[Part]:
    """What of a plan is given after the model's sentences, `wording`.

    own: a question of the model's, which comes after what is told. expect: what it waits for, where it stands in place
    of the flow's question.
    """
    free = may_leave_out(instructions, wording, [say.text for say in plan.changeable])
    gone = [say for say in plan.changeable if free or stands_for(wording, say.text)]
    rest = [part for part in plan.parts if part not in gone]
    if own is None:
        return rest
    told = [part for part in rest if isinstance(part, Say) and part not in plan.asked]
    after = [part for part in rest if part not in told]
    if expect is None:
        return [*told, own, *after]
    return [*told, own, *(part for part in after if not isinstance(part, Say | Expect)), expect]


def done(instructions: Sequence[Instruction], reason: str | None = None) -> list[dict[str, Any]]:
    """For the turn's record and the console: what was asked, and whether a rule or the model followed it.

    reason: why the model did not; see `agent.dialogue.writing.contracts.Reason`.
    """
    found: list[dict[str, Any]] = []
    for one in instructions:
        if one.kind != "model":
            found.append({"asked": one.kind, "by": "rule", "followed": True})
        elif reason is None:
            found.append({"asked": one.kind, "by": "model", "followed": True})
        else:
            found.append({"asked": one.kind, "by": "model", "followed": False, "reason": reason})
    return found
