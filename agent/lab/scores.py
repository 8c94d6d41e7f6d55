"""How well a simulated call went: latency, broken replies, interruptions, silences and errors, from its outcome alone.

Times in ms, as heard at the caller's end; where the server keeps a record, it tells a reply that was broken off from
one that was over. The definitions are in docs/lab.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.lab.ear import Span
from agent.lab.measuring.word_errors import WordErrors, word_errors
from agent.lab.outcome import CallOutcome, Kind, Utterance
from agent.lab.recorded import AWAY, PARTS, Recorded, Reply, Stop, read_record

SENTENCE_GAP_MS = 700.0
"""The agent that was silent for less is still giving the same reply; as `SETTLED_MS` of the callers."""
ANSWER_GAP_MS = 400.0
"""After an interruption was said, a silence of this length parts the old reply from the answer."""
COLLISION_MS = 200.0
"""An agent that begins this soon after the caller could not know: both began at once, it cut nobody off."""
LATE_MS = 600.0
"""A reply that stops this soon after the caller's last sound was stopped by it: voice is noticed after it began."""
CLOCKS_MS = 250.0
"""How far the record's times may lie from the caller's: the way there, and audio sent ahead."""
RESUMED_MS = 500.0
"""A resumed reply is heard this soon after the record says so."""
MISSED_MS = 1500.0
"""An agent that talks on for longer has missed the interruption."""
GOES_ON_MS = 4000.0
"""Without a record: an agent that speaks again within this after a false alarm went on."""
DEAD_AIR_MS = 3000.0
"""A silence that is longer while the caller waits makes him ask whether anybody is there."""
ECHO_TAGS = frozenset({"echo", "speakerphone"})
"""In scenarios with one of these tags the agent's own voice comes back to it."""

Answered = Literal["yes", "no", "not_waited", "not_ours"]
"""not_waited: the caller spoke or hung up within `DEAD_AIR_MS`. not_ours: a person had the call."""


@dataclass(frozen=True, slots=True)
class TurnScore:
    """One utterance of the caller's and what the agent made of it.

    first_ms: end of the utterance to the agent's first sound; None where it was speaking then, or never answered.
    settled_ms: to the start of the sound that was allowed to finish. parts: the server's own parts of that latency.
    over_agent: the agent was speaking when it began. stop_ms: of an interruption, its start to the agent's last sound.
    heard: what the server understood. Each fault is counted once: cut_off, restarted, missed, broke_off (a false
    interruption), hiccup (it paused and went on). dead_air_ms: silences over `DEAD_AIR_MS` while the caller waited.
    """

    step: str
    kind: Kind
    text: str
    start_ms: float
    end_ms: float
    pauses: tuple[tuple[float, float], ...]
    answered: Answered | None
    first_ms: float | None = None
    settled_ms: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    heard: str = ""
    over_agent: bool = False
    stop_ms: float | None = None
    cut_off: bool = False
    restarted: Literal["heard", "unheard"] | None = None
    missed: bool = False
    broke_off: bool = False
    hiccup: bool = False
    dead_air_ms: float = 0.0

    @property
    def asks(self) -> bool:
        """It wants an answer."""
        return self.kind in ("turn", "interruption")


@dataclass(frozen=True)
class CallScore:
    """One call. replies: how many were begun. unprovoked: replies broken off for good with nobody speaking.

    hiccups: pauses of the agent that it went on after, nobody having spoken. retracts: replies taken back unheard that
    belong to no utterance. words: errors of all the caller's turns; None without a record. reasons: why it failed.
    """

    outcome: CallOutcome
    recorded: Recorded
    turns: tuple[TurnScore, ...]
    replies: int
    unprovoked: int
    hiccups: int
    retracts: int
    words: WordErrors | None
    reasons: tuple[str, ...]

    @property
    def echoes(self) -> bool:
        """The agent heard itself in this call."""
        return bool(ECHO_TAGS & set(self.outcome.tags))


def score(outcome: CallOutcome) -> CallScore:
    """Score one call, whether or not the server kept a record of it."""
    return _Scorer(outcome).call()


class _Scorer:
    def __init__(self, outcome: CallOutcome) -> None:
        self._outcome = outcome
        self._recorded = read_record(outcome)
        self._said = tuple(sorted(outcome.utterances, key=lambda utterance: utterance.start_ms))
        self._stretches = _stretches(outcome.agent, self._recorded)
        causes = [self._cause(stop) for stop in self._recorded.stops]
        self._stops: dict[int, list[Stop]] = {}
        self._unprovoked: list[Stop] = []
        for stop, cause in zip(self._recorded.stops, causes, strict=True):
            if cause is not None:
                self._stops.setdefault(cause, []).append(stop)
            elif not stop.by_key:
                self._unprovoked.append(stop)
        self._heard = _assign(self._said, self._recorded)

    def call(self) -> CallScore:
        outcome, recorded = self._outcome, self._recorded
        retracts = {place: self._retracts(place) for place in range(len(self._said))}
        turns = tuple(self._turn(place, retracts[place] > 0) for place in range(len(self._said)))
        broken = {stop.reply for stop in self._unprovoked if stop.outcome == "broken"}
        hiccups = {stop.reply for stop in self._unprovoked if stop.outcome == "resumed"} - broken
        return CallScore(
            outcome,
            recorded,
            turns,
            sum(bool(reply.heard) for reply in recorded.replies) if recorded.exists else len(self._stretches),
            len(broken),
            len(hiccups),
            recorded.retracted - sum(retracts.values()),
            self._words() if recorded.exists else None,
            tuple(_reasons(outcome)),
        )

    def _turn(self, place: int, retracted: bool) -> TurnScore:
        said = self._said[place]
        stops = self._stops.get(place, [])
        heard = " ".join(text for _, _, text in self._heard.get(place, ()))
        common = (said.step, said.kind, said.text, said.start_ms, said.end_ms, said.pauses)
        over = self._covering(said.start_ms) is not None
        if said.kind in ("back_channel", "noise"):
            broke, hiccup = self._false_alarm(said, stops) if over or stops else (False, False)
            return TurnScore(*common, None, heard=heard, over_agent=over or bool(stops), broke_off=broke, hiccup=hiccup)
        horizon = self._horizon(place)
        stop_ms, missed = self._interruption(said, stops) if said.kind == "interruption" and over else (None, False)
        first, settled = (None, None) if missed else self._answers(said, horizon)
        restarted = self._restarted(said, stops, horizon)
        answered = self._answered(said, horizon)
        if answered not in ("yes", "no"):
            first = settled = None
        return TurnScore(
            *common,
            answered,
            None if first is None else first - said.end_ms,
            None if settled is None else settled - said.end_ms,
            self._parts(settled if settled is not None else first),
            heard,
            over,
            stop_ms,
            said.kind == "turn"
            and any(said.start_ms + COLLISION_MS < s.start_ms < said.end_ms for s in self._stretches),
            "heard" if restarted else "unheard" if retracted else None,
            missed,
            dead_air_ms=self._dead_air(said.end_ms, horizon if answered == "no" else settled),
        )

    def _answers(self, said: Utterance, horizon: float) -> tuple[float | None, float | None]:
        """Start of the first sound after `said`, and of the first that was not broken off against the caller's will."""
        covering = self._covering(said.end_ms)
        if covering is not None and covering.start_ms > said.start_ms:
            return None, None
        starts = [s.start_ms for s in self._stretches if said.end_ms <= s.start_ms < horizon]
        lasting = [start for start in starts if not self._broken(start)]
        return next(iter(starts), None), next(iter(lasting), None)

    def _broken(self, start_ms: float) -> bool:
        """Whether the reply that began to be heard at `start_ms` was broken off though no caller interrupted it."""
        reply = _begun(self._recorded.replies, start_ms)
        stop = next((s for s in self._recorded.stops if s.reply == reply and s.outcome == "broken"), None)
        if reply is None or stop is None or stop.by_key:
            return False
        cause = self._cause(stop)
        if cause is None or self._said[cause].kind in ("back_channel", "noise"):
            return True
        return self._said[cause].start_ms < start_ms

    def _answered(self, said: Utterance, horizon: float) -> Answered:
        if self._recorded.phase_at(said.end_ms) in AWAY:
            return "not_ours"
        if not said.whole:
            return "not_waited"
        if any(
            said.start_ms + COLLISION_MS < stretch.start_ms < horizon
            and stretch.end_ms > said.end_ms
            and not self._broken(stretch.start_ms)
            for stretch in self._stretches
        ):
            return "yes"
        return "no" if horizon - said.end_ms >= DEAD_AIR_MS else "not_waited"

    def _restarted(self, said: Utterance, stops: Sequence[Stop], horizon: float) -> bool:
        """An answer began inside `said`, was broken off as the caller went on, and (without a record) begun again."""
        if self._recorded.exists:
            replies = [self._recorded.replies[s.reply] for s in stops if s.outcome == "broken" and s.reply is not None]
            return any(said.start_ms < reply.started_ms < said.end_ms for reply in replies)
        inside = [s for s in self._stretches if said.start_ms + COLLISION_MS < s.start_ms < said.end_ms]
        again = any(said.end_ms <= s.start_ms < horizon for s in self._stretches)
        return again and any(s.end_ms < said.end_ms + LATE_MS for s in inside)

    def _interruption(self, said: Utterance, stops: Sequence[Stop]) -> tuple[float, bool]:
        """How long the agent talked on, and whether it missed the interruption, or took it for a false alarm."""
        covering = self._covering(said.start_ms)
        assert covering is not None  # the caller of this asked
        last = said.start_ms
        for span in self._outcome.agent:
            if span.end_ms <= said.start_ms or span.start_ms > covering.end_ms:
                continue
            if span.start_ms > said.end_ms and span.start_ms - last >= ANSWER_GAP_MS:
                break
            last = span.end_ms
        resumed = any(stop.outcome == "resumed" for stop in stops) and not any(s.outcome == "broken" for s in stops)
        return last - said.start_ms, last - said.start_ms > MISSED_MS or resumed

    def _false_alarm(self, said: Utterance, stops: Sequence[Stop]) -> tuple[bool, bool]:
        """Whether the agent broke off because of a sound that asked for nothing, and whether it paused and went on."""
        if self._recorded.exists:
            broke = any(stop.outcome == "broken" for stop in stops)
            return broke, not broke and any(stop.outcome == "resumed" for stop in stops)
        covering = self._covering(said.start_ms)
        if covering is None or not COLLISION_MS / 2 <= covering.end_ms - said.start_ms <= MISSED_MS:
            return False, False
        following = min(
            (u.start_ms for u in self._said if u.start_ms > said.start_ms and _asks(u)), default=float("inf")
        )
        went_on = any(
            covering.end_ms < s.start_ms < min(following, covering.end_ms + GOES_ON_MS) for s in self._stretches
        )
        return not went_on, went_on

    def _dead_air(self, since: float, until: float | None) -> float:
        """Silences over `DEAD_AIR_MS` between the end of an utterance and its answer, added up; 0 without an answer."""
        if until is None:
            return 0.0
        total, at = 0.0, since
        for span in self._outcome.agent:
            if span.end_ms > since and span.start_ms < until:
                total += _dead(span.start_ms - at)
                at = max(at, span.end_ms)
        return total + _dead(until - at)

    def _parts(self, start_ms: float | None) -> dict[str, float]:
        place = None if start_ms is None else _begun(self._recorded.replies, start_ms)
        latency = {} if place is None else self._recorded.replies[place].latency
        return {part: latency[part] for part in PARTS if part in latency} if "total" in latency else {}

    def _words(self) -> WordErrors:
        """Errors of what was understood; without back-channels, words broken off, and what the record has redacted."""
        left_out = {
            place
            for place, said in enumerate(self._said)
            if said.kind == "back_channel"
            or not said.whole
            or any("[" in text for _, _, text in self._heard.get(place, ()))
            or self._recorded.phase_at(said.end_ms) in AWAY
        }
        kept = [turn for place, turns in self._heard.items() if place not in left_out for turn in turns]
        spoken = [said.text for place, said in enumerate(self._said) if place not in left_out and _asks(said)]
        return word_errors(" ".join(spoken), " ".join(text for _, _, text in sorted(kept)))

    def _horizon(self, place: int) -> float:
        """Until when an answer to utterance `place` may come: the next that wants one, or the end of the call."""
        return next((u.start_ms for u in self._said[place + 1 :] if _asks(u)), self._outcome.duration_ms)

    def _covering(self, at_ms: float) -> Span | None:
        return next((s for s in self._stretches if s.start_ms < at_ms < s.end_ms), None)

    def _retracts(self, place: int) -> int:
        """Replies taken back unheard between the start of utterance `place` and of the next."""
        until = self._said[place + 1].start_ms if place + 1 < len(self._said) else float("inf")
        if not _asks(self._said[place]):
            return 0
        return sum(self._said[place].start_ms <= at < until for at in self._recorded.retracts)

    def _cause(self, stop: Stop) -> int | None:
        """The utterance that made the agent stop; None where the caller was silent, or pressed a key.

        What ended before the reply began did not.
        """
        if stop.by_key:
            return None
        started = self._recorded.replies[stop.reply].started_ms if stop.reply is not None else float("-inf")
        found = None
        for place, said in enumerate(self._said):
            if said.start_ms - CLOCKS_MS <= stop.at_ms <= said.end_ms + LATE_MS and started < said.end_ms:
                found = place
        return found


def _asks(said: Utterance) -> bool:
    return said.kind in ("turn", "interruption")


def _dead(silence_ms: float) -> float:
    return silence_ms if silence_ms > DEAD_AIR_MS else 0.0


def _stretches(spans: Sequence[Span], recorded: Recorded) -> list[Span]:
    """Spans joined over the gaps between sentences, and over pauses that the record says were gone on after."""
    resumed = [stop.until_ms for stop in recorded.stops if stop.outcome == "resumed"]
    found: list[Span] = []
    for span in spans:
        before = found[-1].end_ms if found else float("-inf")
        new = any(before - CLOCKS_MS < reply.started_ms <= span.start_ms for reply in recorded.replies)
        again = any(at - CLOCKS_MS <= span.start_ms <= at + RESUMED_MS for at in resumed)
        if found and (again or (span.start_ms - before < SENTENCE_GAP_MS and not new)):
            found[-1] = Span(found[-1].start_ms, span.end_ms)
        else:
            found.append(Span(span.start_ms, span.end_ms))
    return found


def _begun(replies: Sequence[Reply], heard_ms: float) -> int | None:
    """The place of the reply that began to be heard at `heard_ms`."""
    near = [n for n, reply in enumerate(replies) if reply.started_ms - CLOCKS_MS <= heard_ms <= reply.ended_ms]
    return near[-1] if near else None


def _assign(said: Sequence[Utterance], recorded: Recorded) -> dict[int | None, list[tuple[float, float, str]]]:
    """What was understood, by the utterance it overlaps most; None has what nobody said."""
    found: dict[int | None, list[tuple[float, float, str]]] = {}
    for turn in recorded.caller:
        start, end, _ = turn
        shared = [min(end, u.end_ms) - max(start - CLOCKS_MS, u.start_ms) for u in said]
        best = max(range(len(said)), key=shared.__getitem__, default=None)
        found.setdefault(best if best is not None and shared[best] > -LATE_MS else None, []).append(turn)
    return found


def _reasons(outcome: CallOutcome) -> list[str]:
    failed = [f"{check.name}: {check.found}" for check in outcome.checked if not check.held]
    return [*([outcome.error] if outcome.error is not None else []), *outcome.missed, *failed]
