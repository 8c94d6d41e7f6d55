"""What a domain says of an action: where it runs, how long, and what may be done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agent.dialogue.written import Part, Word


class ActionSpec(Part):
    """An action: a Python entry point (`module:function`) or a webhook.

    timeout_s: when to give up. side_effects: it survives a barge-in and runs once per call and arguments. speculate: it
    only reads, is cheap, and may run before the caller's turn is known to be over, so that the answer is ready then.
    filler: what is said when it takes longer than `filler_after_ms`. late: what is said when its result comes a turn
    late. secret_env: the environment variable with the webhook's signing secret. parameters: what the webhook takes.
    """

    python: Word | None = None
    webhook: Word | None = None
    secret_env: Word | None = None
    allow_private: bool = False
    parameters: tuple[Word, ...] = ()
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    side_effects: bool = False
    speculate: bool = False
    identity: Literal["none", "verified"] = "none"
    filler: Word | None = None
    filler_after_ms: float = Field(default=800.0, ge=0)
    late: Word | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ActionSpec:
        if (self.python is None) == (self.webhook is None):
            raise ValueError("give exactly one of 'python' and 'webhook'")
        if self.webhook is not None and self.secret_env is None:
            raise ValueError("a webhook needs 'secret_env', the name of the variable that holds its signing secret")
        if self.speculate and self.side_effects:
            raise ValueError("an action with 'side_effects' cannot have 'speculate': it would run for turns never made")
        return self
