"""Whose turn it is: a pure state machine over voice activity, guesses about the words, and replies.

`step(state, event, now_ms, settings)` returns the next state and the commands that follow from it. It does no I/O and
reads no clock; audio never passes through it. `deadline(state, settings)` says when a `Tick` is due if nothing else
happens before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.call.moves import (
    AgentTurn,
    Command,
    Commit,
    DropSpeculation,
    DropTurn,
    EndCall,
    Entered,
    Event,
    Expecting,
    Frame,
    GivenBack,
    GiveUp,
    Guess,
    GuessFailed,
    Interrupt,
    Key,
    MoveCaller,
    MustHear,
    OpenTurn,
    Pause,
    PersonLost,
    Prompt,
    ReplyAudible,
    ReplyDone,
    ReplyStopped,
    Resume,
    Retract,
    Speculate,
    StartTransfer,
    Stuck,
    TakenOver,
    Tick,
    TransferEnded,
)
from agent.dialogue.contracts import Profile

__all__ = [
    "FRAME_MS",
    "AgentTurn",
    "Command",
    "Commit",
    "DropSpeculation",
    "DropTurn",
    "EndCall",
    "Entered",
    "Event",
    "Expecting",
    "FloorSettings",
    "FloorState",
    "Frame",
    "GiveUp",
    "GivenBack",
    "Guess",
    "GuessFailed",
    "Interrupt",
    "Key",
    "MoveCaller",
    "MustHear",
    "OpenTurn",
    "Pause",
    "PersonLost",
    "Phase",
    "Profile",
    "Prompt",
    "ReplyAudible",
    "ReplyDone",
    "ReplyStopped",
    "Resume",
    "Retract",
    "Speculate",
    "StartTransfer",
    "Stuck",
    "TakenOver",
    "Tick",
    "TransferEnded",
    "deadline",
    "may_speak",
    "speculate_after_ms",
    "step",
    "wait_ms",
]

FRAME_MS = 32.0
"""A voice activity frame: 512 samples at 16 kHz, what Silero VAD takes."""

Milliseconds = Annotated[float, Field(ge=0)]


class FloorSettings(BaseModel):
    """Every turn-taking setting. Times in ms; defaults start from the best peers' and were measured in the lab."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_ms: Milliseconds = 416
    """Window in which voiced frames are counted."""
    speech_ms: Milliseconds = 150
    """Voiced time in the window that opens a caller turn; a short "yes" has 200 ms, a click less than 100."""
    barge_in_ms: Milliseconds = 220
    """Voiced time in the window that pauses the agent; a wrong pause costs little because it resumes."""
    resume_frames: int = Field(2, ge=1)
    """Voiced frames in a row that end a silence; one alone is often a click."""
    speculate: Literal["off", "words", "reply"] = "reply"
    """What is done before a turn is known to be over, without effect: its words recognized, and a reply begun."""
    speculate_ms: Milliseconds = 128
    """Silence after which that starts; off, recognition starts after `wait_middle_ms`."""
    yield_ms: Milliseconds = 448
    """Silence after which words over a reply that was paused are recognized: half a word is no reason to go on."""
    wait_sure_ms: Milliseconds = 300
    """Silence that ends a turn that is almost surely over (P from `sure`); between the marks it changes evenly."""
    wait_high_ms: Milliseconds = 830
    """Silence that ends a turn whose P is `high`."""
    wait_middle_ms: Milliseconds = 850
    """Silence that ends a turn whose P is `low`; callers pause up to 700 ms inside turns, which is seen 64 ms late."""
    wait_low_ms: Milliseconds = 1500
    """Silence that ends a turn that sounds unfinished, of a P below `low`."""
    wait_dictated_ms: Milliseconds = 1900
    """In place of the middle and the low wait where digits, spelling, an e-mail or an address was asked."""
    wait_max_ms: Milliseconds = 4500
    """Silence that ends any turn, even with no guess about its words."""
    sure: float = Field(0.93, ge=0, le=1)
    """P(turn over) from which `wait_sure_ms` holds."""
    high: float = Field(0.85, ge=0, le=1)
    """P(turn over) of `wait_high_ms`."""
    low: float = Field(0.2, ge=0, le=1)
    """P(turn over) of `wait_middle_ms`; below it `wait_low_ms` holds."""
    short_answer_factor: float = Field(0.6, gt=0)
    """Factor on the high wait where yes or no was asked and was given; never shorter than `wait_sure_ms`."""
    pause_factor: float = Field(1.4, ge=1)
    """The low wait is at least this many times the caller's own pauses."""
    broken_factor: float = Field(1.3, ge=1)
    """Factor on all waits but the low one for a caller who went on after an answer had begun."""
    broken_turns: int = Field(2, ge=0)
    """Turns of that caller for which it holds."""
    overhear_ms: Milliseconds = 700
    """Continuous speech over the agent after which its words so far are recognized: they tell whether to stop."""
    alarms: int = Field(2, ge=1)
    """False alarms within one reply after which only words pause it: there is a television, or an echo."""
    false_alarm_ms: Milliseconds = 1500
    """Silence after a pause of the agent after which it goes on when what was said cannot be recognized."""
    guard_ms: Milliseconds = 300
    """Start of a reply that does not yield: the caller's own turn often ends in a breath or a last word."""
    continue_ms: Milliseconds = 700
    """A caller who speaks this soon after a reply began to sound has not heard it: the turn goes on."""
    stuck_ms: Milliseconds = 12_000
    """Time without a sound after which a reply counts as failed; actions have shorter limits, and fillers sound."""
    reprompt_ms: Milliseconds = 8000
    """Silence after the agent's words before it asks again."""


_DICTATION: frozenset[str] = frozenset({"digits", "spelling", "email", "address"})


class Phase(StrEnum):
    """Who holds the floor."""

    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    YIELDING = "yielding"
    INTERRUPTED = "interrupted"
    TRANSFERRING = "transferring"
    HUMAN = "human"
    CLOSING = "closing"


_SILENT = frozenset({Phase.TRANSFERRING, Phase.HUMAN, Phase.CLOSING})
"""Phases in which the agent may not speak on its own."""


@dataclass(frozen=True, slots=True)
class FloorState:
    """Everything the floor knows. Times are ms of the injected clock."""

    phase: Phase = Phase.LISTENING
    generation: int = 0
    """Number of the newest reply; anything older is stale."""
    profile: Profile = "open"
    history: int = 0
    """Voiced frames of the window, newest in bit 0."""
    run: int = 0
    """Voiced frames in a row."""
    open: bool = False
    """The caller has said something that was not answered yet."""
    over_agent: bool = False
    """The open turn began while the agent spoke."""
    onset_ms: float = 0.0
    voiced_ms: float = 0.0
    """End of the last voiced frame of the open turn."""
    revision: int = 0
    speculated: bool = False
    overheard: bool = False
    """The words are being recognized while the caller goes on over the agent."""
    alarms: int = 0
    """False alarms within this reply."""
    failures: int = 0
    """Times the words of the open turn could not be recognized."""
    guess: float | None = None
    words: int = 1
    """Words of the open turn so far, where they are known."""
    answered: bool = False
    """The guess answers the yes-no question asked."""
    pause_ms: float = 400.0
    """Moving average of this caller's pauses inside turns."""
    broken: int = 0
    """Turns for which this caller, who has gone on after an answer began, is given more time."""
    from_caller: bool = False
    """The reply being prepared answers a turn of the caller."""
    audible_ms: float = 0.0
    sounded_ms: float = 0.0
    """When the reply was first audible; `audible_ms` is set again when it goes on after a false alarm."""
    must_hear: bool = False
    prompting: bool = False
    """The reply being prepared is given up when the caller begins to speak."""
    ending: bool = False
    """The last goodbye was heard; only what the caller was saying meanwhile keeps the call."""
    leaving: bool = False
    """The farewell before the caller moves is being prepared or said: a person waits, and nothing stops it."""
    thinking_ms: float = 0.0
    """Since when the reply is being prepared."""
    idle_ms: float = 0.0
    """Since when nobody speaks."""
    prompts: int = 0


Step = tuple[FloorState, list[Command]]


def step(state: FloorState, event: Event, now_ms: float, settings: FloorSettings) -> Step:
    """Advance the floor by one event at `now_ms`."""
    after, commands = _advance(state, event, now_ms, settings)
    if after.phase is Phase.THINKING and after.generation != state.generation:
        after = replace(after, thinking_ms=now_ms)
    return after, commands


def _advance(state: FloorState, event: Event, now_ms: float, settings: FloorSettings) -> Step:
    match event:
        case Frame(voiced):
            state, commands = _frame(state, voiced, now_ms, settings)
            later, more = _time(state, now_ms, settings)
            return later, commands + more
        case Tick():
            return _time(state, now_ms, settings)
        case Guess():
            return _guess(state, event, now_ms, settings)
        case GuessFailed(revision):
            return _guess_failed(state, revision, now_ms, settings)
        case Entered():
            return _entered(state, now_ms)
        case Key():
            return _key(state, now_ms, settings)
        case AgentTurn():
            return _agent_turn(state, event)
        case ReplyAudible(generation):
            if generation != state.generation or state.phase is not Phase.THINKING:
                return state, []
            sounding = replace(state, phase=Phase.SPEAKING, audible_ms=now_ms, sounded_ms=now_ms, alarms=0)
            return replace(sounding, over_agent=state.open), []
        case ReplyDone():
            return _done(state, event, now_ms)
        case ReplyStopped():
            if state.phase is not Phase.INTERRUPTED:
                return state, []
            return replace(state, phase=Phase.LISTENING, idle_ms=now_ms), []
        case MustHear(on):
            if on and state.phase is Phase.YIELDING:
                return replace(state, phase=Phase.SPEAKING, must_hear=True, audible_ms=now_ms), [Resume()]
            return replace(state, must_hear=on), []
        case Expecting(profile):
            return replace(state, profile=profile), []
        case GiveUp():
            if state.phase in _SILENT or state.leaving:
                return state, []
            stopped = Interrupt(state.generation)
            given = replace(state, phase=Phase.TRANSFERRING, generation=state.generation + 1, open=False)
            return given, [stopped, StartTransfer()]
        case TransferEnded(worked):
            if state.phase is not Phase.TRANSFERRING:
                return state, []
            return replace(state, phase=Phase.HUMAN if worked else Phase.LISTENING, idle_ms=now_ms, open=False), []
        case TakenOver():
            return _taken_over(state)
        case GivenBack():
            if state.phase is not Phase.HUMAN:
                return state, []
            return replace(state, phase=Phase.LISTENING, idle_ms=now_ms, prompts=0), []
        case PersonLost():
            return (replace(state, phase=Phase.TRANSFERRING), []) if state.phase is Phase.HUMAN else (state, [])


def later(state: FloorState, ms: float, now_ms: float) -> FloorState:
    """The floor after `ms` up to now that do not count: what was before them is as long ago as before."""

    def moved(at_ms: float) -> float:
        return max(at_ms, min(at_ms + ms, now_ms))

    return replace(
        state,
        onset_ms=moved(state.onset_ms),
        voiced_ms=moved(state.voiced_ms),
        audible_ms=moved(state.audible_ms),
        sounded_ms=moved(state.sounded_ms),
        thinking_ms=moved(state.thinking_ms),
        idle_ms=moved(state.idle_ms),
    )


def may_speak(state: FloorState, generation: int) -> bool:
    """Whether reply `generation` still owns the floor; asked again when it is ready, not only when it was ordered."""
    return generation == state.generation and state.phase in (Phase.THINKING, Phase.SPEAKING, Phase.YIELDING)


def wait_ms(state: FloorState, settings: FloorSettings) -> float:
    """Silence after which the open turn is over, from the guess about its words, the question and this caller."""
    if state.guess is None:
        return settings.wait_max_ms
    slow = settings.broken_factor if state.broken else 1.0
    dictated = state.profile in _DICTATION
    if state.guess < settings.low:
        low = settings.wait_dictated_ms if dictated else settings.wait_low_ms
        return min(max(low, settings.pause_factor * state.pause_ms), settings.wait_max_ms)
    middle, high, sure = settings.wait_middle_ms, settings.wait_high_ms, settings.wait_sure_ms
    if dictated:
        middle = settings.wait_dictated_ms
    if state.answered:
        high = max(sure, high * settings.short_answer_factor)
    if state.guess >= settings.high:
        wait = _between(state.guess, (settings.high, high), (settings.sure, sure))
    else:
        wait = _between(state.guess, (settings.low, middle), (settings.high, high))
    return min(wait * slow, settings.wait_max_ms)


def _between(at: float, one: tuple[float, float], other: tuple[float, float]) -> float:
    """The value at `at` on the line through two points; beyond the later one it stays."""
    if at >= other[0]:
        return other[1]
    return one[1] + (other[1] - one[1]) * (at - one[0]) / (other[0] - one[0])


def speculate_after_ms(state: FloorState, settings: FloorSettings) -> float:
    """Silence after which the words of the open turn are recognized.

    Over the agent that is always soon: the words tell whether the caller claims the floor.
    """
    if state.phase is Phase.YIELDING:
        return settings.yield_ms
    if settings.speculate == "off" and state.phase is Phase.LISTENING and not state.over_agent:
        return settings.wait_middle_ms
    return settings.speculate_ms


def deadline(state: FloorState, settings: FloorSettings) -> float | None:
    """When something happens if no event comes before, in ms of the same clock; None for never."""
    if state.phase is Phase.LISTENING:
        if not state.open:
            return state.idle_ms + settings.reprompt_ms
        if not state.speculated:
            return state.voiced_ms + speculate_after_ms(state, settings)
        return state.voiced_ms + wait_ms(state, settings)
    if state.phase is Phase.THINKING:
        return state.thinking_ms + settings.stuck_ms
    if state.open and not state.speculated and _may_yield(state):
        return state.voiced_ms + settings.speculate_ms
    if state.phase is Phase.YIELDING:
        return _yields_until(state, settings)
    return None


def _yields_until(state: FloorState, settings: FloorSettings) -> float:
    """When the agent goes on without having learnt what was said; words that are being recognized are waited for."""
    return state.voiced_ms + (settings.false_alarm_ms if state.failures else settings.wait_max_ms)


def _may_yield(state: FloorState) -> bool:
    return state.phase is Phase.YIELDING or (state.phase is Phase.SPEAKING and not (state.must_hear or state.leaving))


def _taken_over(state: FloorState) -> Step:
    if state.phase in (Phase.CLOSING, Phase.HUMAN):
        return state, []
    commands: list[Command] = []
    if state.phase in (Phase.THINKING, Phase.SPEAKING, Phase.YIELDING):
        commands.append(Interrupt(state.generation))
    if state.open:
        commands.append(DropTurn())
    after = replace(
        state,
        phase=Phase.HUMAN,
        generation=state.generation + 1,
        history=0,
        run=0,
        open=False,
        over_agent=False,
        overheard=False,
        from_caller=False,
        must_hear=False,
        ending=False,
        leaving=False,
    )
    return after, commands


def _agent_turn(state: FloorState, turn: AgentTurn) -> Step:
    if state.leaving or (state.phase in _SILENT and not (turn.farewell and state.phase is Phase.TRANSFERRING)):
        return state, []
    replaced: list[Command] = []
    if state.phase in (Phase.THINKING, Phase.SPEAKING, Phase.YIELDING):
        replaced.append(Interrupt(state.generation))
    after = replace(
        state,
        phase=Phase.THINKING,
        generation=state.generation + 1,
        from_caller=False,
        prompting=turn.prompt,
        leaving=turn.farewell,
        ending=False,
    )
    return after, replaced


def _frame(state: FloorState, voiced: bool, now_ms: float, settings: FloorSettings) -> Step:
    if state.phase in (Phase.CLOSING, Phase.HUMAN, Phase.TRANSFERRING):
        return state, []
    if not (voiced or state.history or state.run):
        return state, []
    width = max(1, round(settings.window_ms / FRAME_MS))
    history = ((state.history << 1) | voiced) & ((1 << width) - 1)
    run = state.run + 1 if voiced else 0
    state = replace(state, history=history, run=run)
    if not voiced:
        return state, []
    commands: list[Command] = []
    if state.open:
        if run >= settings.resume_frames:
            state, commands = _resumed(state, now_ms)
    elif history.bit_count() * FRAME_MS >= settings.speech_ms:
        onset = now_ms - history.bit_length() * FRAME_MS
        state = replace(
            state,
            open=True,
            over_agent=state.phase in (Phase.SPEAKING, Phase.YIELDING),
            onset_ms=onset,
            voiced_ms=now_ms,
            revision=state.revision + 1,
            speculated=False,
            overheard=False,
            guess=None,
            words=1,
            failures=0,
        )
        commands = [OpenTurn()]
    if not state.open:
        return state, commands
    if state.phase is Phase.THINKING and state.from_caller and _voiced(state) >= settings.speech_ms:
        commands.append(Retract(state.generation))
        state = replace(
            state,
            phase=Phase.LISTENING,
            generation=state.generation + 1,
            from_caller=False,
            broken=settings.broken_turns + 1,
        )
    elif state.phase is Phase.THINKING and state.prompting:
        state, more = _interrupt(state, settings)
        commands += more
    elif state.phase is Phase.SPEAKING and _barges_in(state, now_ms, settings):
        commands.append(Pause())
        state = replace(state, phase=Phase.YIELDING)
    elif _may_yield(state) and run * FRAME_MS >= settings.overhear_ms and not state.speculated:
        if state.phase is Phase.YIELDING and _continues(state, settings):
            state, more = _interrupt(state, settings)
            return state, commands + more
        commands.append(Speculate(state.revision))
        state = replace(state, speculated=True, overheard=True)
    return state, commands


def _resumed(state: FloorState, now_ms: float) -> Step:
    silent = now_ms - state.run * FRAME_MS - state.voiced_ms
    if not state.speculated or state.overheard:
        return replace(state, voiced_ms=now_ms), []
    pause = 0.7 * state.pause_ms + 0.3 * min(silent, 2000.0) if silent > 0 else state.pause_ms
    dropped = DropSpeculation(state.revision)
    return replace(
        state, voiced_ms=now_ms, revision=state.revision + 1, speculated=False, guess=None, words=1, pause_ms=pause
    ), [dropped]


def _voiced(state: FloorState) -> float:
    return state.history.bit_count() * FRAME_MS


def _barges_in(state: FloorState, now_ms: float, settings: FloorSettings) -> bool:
    if state.must_hear or state.leaving or now_ms - state.audible_ms < settings.guard_ms:
        return False
    if state.alarms >= settings.alarms:
        return False
    return state.run > 0 and _voiced(state) >= settings.barge_in_ms


def _continues(state: FloorState, settings: FloorSettings) -> bool:
    """Whether the caller only goes on with the turn that is being answered."""
    return state.from_caller and state.open and state.onset_ms - state.sounded_ms < settings.continue_ms


def _interrupt(state: FloorState, settings: FloorSettings) -> Step:
    continues = _continues(state, settings)
    stopped = Interrupt(state.generation, continues)
    state = replace(state, phase=Phase.INTERRUPTED, generation=state.generation + 1, over_agent=False)
    if continues:
        # What was recognized so far is only the rest of the turn.
        state = replace(state, from_caller=False, broken=settings.broken_turns + 1)
    if continues or state.overheard:
        state = replace(state, revision=state.revision + 1, speculated=False, overheard=False, guess=None)
    return state, [stopped]


def _time(state: FloorState, now_ms: float, settings: FloorSettings) -> Step:
    if state.phase is Phase.LISTENING and not state.open:
        if now_ms < state.idle_ms + settings.reprompt_ms:
            return state, []
        level = state.prompts + 1
        return replace(state, prompts=level, idle_ms=now_ms), [Prompt(level)]
    if state.phase is Phase.THINKING and now_ms >= state.thinking_ms + settings.stuck_ms:
        return replace(state, thinking_ms=now_ms), [Stuck()]
    if not state.open or not (state.phase is Phase.LISTENING or _may_yield(state)):
        return state, []
    if not state.speculated:
        if now_ms < state.voiced_ms + speculate_after_ms(state, settings):
            return state, []
        return replace(state, speculated=True), [Speculate(state.revision)]
    if state.phase is Phase.YIELDING:
        expired = now_ms >= _yields_until(state, settings)
        return _false_alarm(state, now_ms) if expired else (state, [])
    if state.phase is Phase.SPEAKING:
        return state, []
    if now_ms < state.voiced_ms + wait_ms(state, settings):
        return state, []
    if not state.words:
        return _dropped(state)
    return _commit(state, now_ms - state.voiced_ms)


def _dropped(state: FloorState) -> Step:
    """What was open was no turn."""
    dropped = replace(state, open=False, over_agent=False, overheard=False, history=0, run=0)
    if state.ending and state.phase is Phase.LISTENING:
        return replace(dropped, phase=Phase.CLOSING), [DropTurn(), EndCall()]
    return dropped, [DropTurn()]


def _false_alarm(state: FloorState, now_ms: float) -> Step:
    resumed = replace(
        state,
        phase=Phase.SPEAKING,
        open=False,
        over_agent=False,
        overheard=False,
        history=0,
        run=0,
        audible_ms=now_ms,
        alarms=state.alarms + 1,
    )
    return resumed, [DropTurn(), Resume()]


def _commit(state: FloorState, waited_ms: float) -> Step:
    generation = state.generation + 1
    commit = Commit(state.revision, generation, waited_ms)
    after = replace(
        state,
        phase=Phase.THINKING,
        generation=generation,
        open=False,
        over_agent=False,
        from_caller=True,
        prompting=False,
        ending=False,
        history=0,
        prompts=0,
        broken=max(0, state.broken - 1),
    )
    return after, [commit]


def _guess(state: FloorState, guess: Guess, now_ms: float, settings: FloorSettings) -> Step:
    if not state.open or guess.revision != state.revision or not state.speculated:
        return state, []
    if _may_yield(state) and guess.claim:
        return _interrupt(replace(state, guess=guess.over, answered=guess.answer), settings)
    if state.phase is Phase.YIELDING:
        if state.overheard and guess.words:
            # There are words, and more to come: the agent stays silent until they tell.
            return replace(state, revision=state.revision + 1, speculated=False, overheard=False, run=0), []
        return _false_alarm(state, now_ms)
    if state.over_agent and not guess.claim:
        return _dropped(state)
    if guess.words == 0:
        # A single digit is often not recognized; with those that follow it may be.
        if state.profile in _DICTATION and state.phase is Phase.LISTENING:
            return _time(replace(state, guess=0.0, words=0, answered=False), now_ms, settings)
        return _dropped(state)
    return _time(replace(state, guess=guess.over, words=guess.words, answered=guess.answer), now_ms, settings)


def _guess_failed(state: FloorState, revision: int, now_ms: float, settings: FloorSettings) -> Step:
    if not state.open or revision != state.revision or not state.speculated:
        return state, []
    state = replace(state, failures=state.failures + 1, overheard=False)
    if state.phase is Phase.LISTENING:
        # Nothing is known of the words: the turn ends after the middle wait and is recognized then.
        return _time(replace(state, guess=settings.low, answered=False), now_ms, settings)
    if state.failures == 1 and _may_yield(state):
        return replace(state, speculated=False, voiced_ms=now_ms), []
    return state, []


def _entered(state: FloorState, now_ms: float) -> Step:
    if state.phase in _SILENT or state.leaving:
        return state, []
    commands: list[Command] = []
    if state.phase in (Phase.SPEAKING, Phase.YIELDING, Phase.THINKING):
        commands.append(Interrupt(state.generation))
        state = replace(state, generation=state.generation + 1)
    after, more = _commit(replace(state, revision=state.revision + 1), 0.0)
    # What was entered is whole: a voice after it is no second half that would take it back.
    return replace(after, from_caller=False), commands + more


def _key(state: FloorState, now_ms: float, settings: FloorSettings) -> Step:
    if state.phase in (Phase.SPEAKING, Phase.YIELDING) and not (state.must_hear or state.leaving):
        return _interrupt(replace(state, open=False), settings)
    return replace(state, idle_ms=now_ms), []


def _done(state: FloorState, event: ReplyDone, now_ms: float) -> Step:
    if event.generation != state.generation or state.phase not in (Phase.THINKING, Phase.SPEAKING, Phase.YIELDING):
        return state, []
    state = replace(state, leaving=False)
    if state.overheard:
        # What is being recognized is only the beginning of what the caller says.
        state = replace(state, revision=state.revision + 1, speculated=False, overheard=False, guess=None)
    if event.then == "hangup" and not state.open:
        return replace(state, phase=Phase.CLOSING), [EndCall()]
    if event.then == "move":
        return replace(state, phase=Phase.TRANSFERRING, open=False), [MoveCaller()]
    if event.then == "transfer":
        return replace(state, phase=Phase.TRANSFERRING, open=False), [StartTransfer()]
    ending = event.then == "hangup"
    return replace(state, phase=Phase.LISTENING, idle_ms=now_ms, must_hear=False, ending=ending), []
