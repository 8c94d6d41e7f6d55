"""What the flow engine waits for, and what it is given for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.dialogue.state import Proposed


@dataclass(frozen=True, slots=True)
class Need:
    """An action must run before the flow can go on; its outcome goes to `FlowMachine.result`."""

    action: str
    arguments: Mapping[str, Any]


Stop = Need | Literal["listen", "search", "assist", "leave", "proven", "finished"]
"""What the machine waits for: an action, the caller, a search of the knowledge (`answered`), a language model
(`assisted`), or nothing any more.

proven: the caller was just verified. finished: the last open task is done, and it may be asked what else there is.
"""


@dataclass(frozen=True, slots=True)
class Helped:
    """What a language model made of a goal, in one turn.

    says: checked sentences. asks: the last of them is a question to the caller. proposal: an action with side effects,
    which has not run. ran, result: the read-only action that ran last, and what it gave.
    """

    says: tuple[str, ...] = ()
    asks: bool = False
    proposal: Proposed | None = None
    ran: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
