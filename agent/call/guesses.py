"""What is guessed of the caller's turn before it is over: its words, and the first sentence of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agent.call import floor
from agent.call.claims import claims_floor, count_of, without_last
from agent.call.hearing import Heard, Hearing
from agent.call.preparing import Preparation
from agent.call.replies import Replies
from agent.call.replying import Reply
from agent.call.surroundings import Surroundings, ended
from agent.dialogue.contracts import CallerTurn
from models.pool import Priority, job_tag


class Guesses:
    """The guess about the open turn; nothing else may need it undone. Each is of one revision of the turn."""

    def __init__(
        self,
        around: Surroundings,
        hearing: Hearing,
        replies: Replies,
        settled: Callable[[int, Heard], None],
    ) -> None:
        """`settled` is told the reading that is turn `number`."""
        self._around = around
        self._clock = around.clock
        self._dialogue = around.dialogue
        self._floor = around.floor
        self._hearing = hearing
        self._replies = replies
        self._settled = settled
        self._guessing: tuple[int, asyncio.Task[None]] | None = None
        self._guess: tuple[int, Heard] | None = None
        self._prepared: tuple[int, Preparation] | None = None

    def begin(self, revision: int) -> None:
        """Recognize the open turn as it is now."""
        self._guessing = revision, self._around.spawn(self._speculate(revision), f"guess-{revision}")

    def drop(self) -> None:
        """Nothing that was guessed counts."""
        if self._guessing is not None:
            self._guessing[1].cancel()
        self._guessing = self._guess = None
        self.drop_prepared()

    def drop_prepared(self) -> None:
        """What would be answered is another: the sentence made for it is not wanted."""
        if self._prepared is not None:
            self._prepared[1].drop()
        self._prepared = None

    def outdated(self, revision: int) -> None:
        """The caller went on: what was guessed of `revision` is only the beginning."""
        if self._guess is not None and self._guess[0] == revision:
            self._hearing.freeze(self._guess[1])
        self.drop()

    def take(self, revision: int) -> tuple[asyncio.Task[None] | None, Preparation | None]:
        """The turn is over: the reading of `revision` that may be under way, made urgent, and what was prepared."""
        guessing = self._guessing[1] if self._guessing and self._guessing[0] == revision else None
        if guessing is None:
            self.drop()
        else:
            self._around.services.pool.promote((id(self), revision), Priority.FINAL_RECOGNITION)
        self._guessing = None
        prepared = self._prepared[1] if self._prepared is not None and self._prepared[0] == revision else None
        if prepared is None:
            self.drop_prepared()
        self._prepared = None
        return guessing, prepared

    async def settle(self, reply: Reply, revision: int, guessing: asyncio.Task[None] | None) -> CallerTurn:
        """The turn that `reply` answers: what was guessed of `revision`, or else read now.

        Raises:
            models.errors.ModelError: it could not be read.
        """
        began = self._clock.now_ms()
        await ended(guessing)
        if self._guess is not None and self._guess[0] == revision:
            heard = self._guess[1]
        else:
            heard = await self._hearing.read(Priority.FINAL_RECOGNITION)
        self._guess = None
        self._hearing.settle(heard)
        self._settled(reply.turn, heard)
        reply.latency["recognition"] = self._clock.now_ms() - began
        reply.reasons["recognition_ms"] = round(heard.recognition_ms, 1)
        reply.reasons["understanding_ms"] = round(heard.understanding_ms, 1)
        reply.reasons["turn_over"] = round(heard.over.probability, 3)
        reply.reasons["turn_over_parts"] = {part: round(odds, 2) for part, odds in heard.over.parts.items()}
        return replace(_turn_of(reply.turn, heard), hear_again=partial(self._hearing.others, heard))

    def prepare(self) -> None:
        """Make the first sentence of the answer, should the turn be over."""
        state, settings = self._floor.state, self._floor.settings
        if settings.speculate != "reply" or self._guess is None:
            return
        revision, heard = self._guess
        if self._prepared is not None and self._prepared[0] == revision:
            return
        self.drop_prepared()
        if revision != state.revision or not (state.open and state.phase is floor.Phase.LISTENING):
            return
        if heard.over.probability < settings.low or not heard.text or not self._around.can.audio_out:
            return
        turn = _turn_of(self._around.numbers.now + 1, heard)
        prepared = Preparation(self._around.services.voice, self._dialogue.preview(turn))
        prepared.begin(self._around.spawn(prepared.run(), f"prepare-{revision}"))
        self._prepared = revision, prepared

    async def _speculate(self, revision: int) -> None:
        job_tag.set((id(self), revision))
        try:
            heard = await self._hearing.read(Priority.SPECULATION, lambda words: self._guessed(revision, words))
        except Exception as error:
            self._around.notes.fault("guess_failed", f"{type(error).__name__}: {error}")
            self._floor.step(floor.GuessFailed(revision))
            return
        self._guess = revision, heard
        self.prepare()

    def _guessed(self, revision: int, heard: Heard) -> None:
        reply = self._replies.current
        said = reply.text if reply else ""
        asked = self._dialogue.context
        # While the caller goes on the last word is only begun.
        text = without_last(heard.text) if self._floor.state.overheard else heard.text
        claim = heard.confident and claims_floor(text, said, asked.asked_yes_no and self._replies.question_heard())
        words = count_of(heard.text)
        if words and not self._dialogue.sensitive:
            self._around.notes.caption("caller", heard.text, self._around.numbers.now + 1, final=False)
        answer = asked.asked_yes_no and heard.understood.slot("yes_no") is not None
        self._floor.step(floor.Guess(revision, heard.over.probability, words, claim, answer))


def _turn_of(number: int, heard: Heard) -> CallerTurn:
    return CallerTurn(
        number, heard.text, heard.understood, heard.voice, confident=heard.confident, language=heard.language
    )
