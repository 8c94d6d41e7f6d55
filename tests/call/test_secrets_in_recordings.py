"""While a secret is asked for nothing is recorded, and logs lose every digit."""

from __future__ import annotations

from callfakes import FakeCall
from virtual_time import run_virtual

from agent.records.pausing import paused_call


class Tape:
    """A recording that notes when it runs."""

    def __init__(self) -> None:
        self.runs = True
        self.log: list[str] = []

    def pause(self) -> None:
        self.runs = False
        self.log.append("pause")

    def resume(self) -> None:
        self.runs = True
        self.log.append("resume")

    def mute(self, from_ms: float, to_ms: float) -> bool:
        return True

    def caller(self, samples: object, at_ms: float) -> None:
        self.log.append("caller" if self.runs else "caller while paused")

    def agent(self, samples: object, at_ms: float) -> None:
        self.log.append("agent" if self.runs else "agent while paused")


def test_recording_pauses_for_a_secret_and_goes_on_after_it() -> None:
    async def main() -> None:
        call = FakeCall()
        tape = Tape()
        opened = call.records.open_call

        async def open_call(given):  # type: ignore[no-untyped-def]
            record = await opened(given)
            record.recording = tape
            return record

        call.records.open_call = open_call  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        assert tape.runs
        call.dialogue.sensitive = True  # type: ignore[misc]
        await phone.say("my number is")
        await phone.wait(200)
        assert not tape.runs
        call.dialogue.sensitive = False  # type: ignore[misc]
        await phone.wait_for_agent()
        assert tape.runs
        kinds = [kind for kind, _ in call.record.events]
        assert kinds.index("recording_paused") < kinds.index("recording_resumed")
        assert paused_call.get() is None  # the pauses are the call's own
        phone.hang_up()
        await call.ended()

    run_virtual(main())
