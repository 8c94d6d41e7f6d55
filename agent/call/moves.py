"""What happens on the floor, and what the floor commands: the vocabulary of `agent.call.floor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.dialogue.contracts import Profile


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of voice activity ended now."""

    voiced: bool


@dataclass(frozen=True, slots=True)
class Guess:
    """What was recognized of revision `revision` of the open turn.

    over: P(the turn is over) in [0, 1]. words: how many were heard. claim: they claim the floor, that is, they are
    neither a back-channel ("uh-huh") nor the agent's own voice come back. answer: they answer the yes-no question that
    was asked.
    """

    revision: int
    over: float
    words: int
    claim: bool
    answer: bool = False


@dataclass(frozen=True, slots=True)
class GuessFailed:
    """The words of revision `revision` could not be recognized."""

    revision: int


@dataclass(frozen=True, slots=True)
class Entered:
    """The caller gave a whole turn without voice: typed text or keys."""


@dataclass(frozen=True, slots=True)
class Key:
    """The caller pressed a key; more may follow."""


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """The agent is about to speak of its own accord: greeting, re-prompt, outcome of a transfer, apology.

    farewell: its last words before the caller moves, the only ones it may say while transferring.
    prompt: it speaks only because nobody did; a caller who begins first is heard instead.
    """

    farewell: bool = False
    prompt: bool = False


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first audible sample of a reply was sent."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """All of a reply was heard, or it had nothing to say. `then` says what follows it."""

    generation: int
    then: Literal["hangup", "transfer", "move"] | None = None


@dataclass(frozen=True, slots=True)
class ReplyStopped:
    """An interrupted reply's task has ended and the transcript was fixed from the ledger."""


@dataclass(frozen=True, slots=True)
class MustHear:
    """The utterance now playing does not yield (True), or does again (False)."""

    on: bool


@dataclass(frozen=True, slots=True)
class Expecting:
    """What kind of answer was asked for."""

    profile: Profile


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The agent cannot go on and hands the call over without another word."""


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """A transfer worked (a person has the call) or did not (the agent has it again)."""

    worked: bool


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A person has the call on our line: the agent is silent."""


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The person gave the call back to the agent."""


@dataclass(frozen=True, slots=True)
class PersonLost:
    """The person who had the call is gone: another is looked for."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = (
    Frame
    | Guess
    | GuessFailed
    | Entered
    | Key
    | AgentTurn
    | ReplyAudible
    | ReplyDone
    | ReplyStopped
    | MustHear
    | Expecting
    | GiveUp
    | TransferEnded
    | TakenOver
    | GivenBack
    | PersonLost
    | Tick
)


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """The caller began to speak; the turn's audio starts a little before."""


@dataclass(frozen=True, slots=True)
class DropTurn:
    """What the caller said was no turn: noise, or a back-channel."""


@dataclass(frozen=True, slots=True)
class Speculate:
    """Recognize the open turn up to now; read-only."""

    revision: int


@dataclass(frozen=True, slots=True)
class DropSpeculation:
    """The caller went on; the guess about `revision` is void."""

    revision: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The caller's turn is over; answer it as reply `generation`. `waited_ms` of silence were needed."""

    revision: int
    generation: int
    waited_ms: float


@dataclass(frozen=True, slots=True)
class Retract:
    """The caller had only paused: take back reply `generation`, of which nothing was heard."""

    generation: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop the sound, keep the reply."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on where the sound stopped."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop reply `generation` for good.

    continues: the caller had only paused, and goes on with the turn that the reply answers.
    """

    generation: int
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """The caller is silent, for the `level`-th time in a row."""

    level: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """The reply takes too long: something in it hangs."""


@dataclass(frozen=True, slots=True)
class StartTransfer:
    """The announcement was heard: find a person."""


@dataclass(frozen=True, slots=True)
class MoveCaller:
    """A person was found and the farewell was heard: hand the caller over."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """The farewell was heard: hang up."""


Command = (
    OpenTurn
    | DropTurn
    | Speculate
    | DropSpeculation
    | Commit
    | Retract
    | Pause
    | Resume
    | Interrupt
    | Prompt
    | Stuck
    | StartTransfer
    | MoveCaller
    | EndCall
)
