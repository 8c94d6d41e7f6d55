"""What nobody may keep of one call: while it is asked for, nothing is recorded, and words are withheld."""

from __future__ import annotations

from agent.call.notes import Notes
from agent.dialogue.contracts import Dialogue
from agent.records.pausing import Pausing, paused_call


class Secrecy:
    """Pauses the recording of one call as its dialogue asks."""

    def __init__(self, dialogue: Dialogue, notes: Notes) -> None:
        self._dialogue = dialogue
        recording = notes.record.recording if notes.record is not None else None
        self._pausing = Pausing(recording, lambda kind, data: notes.event(kind, **data))

    def enter(self) -> None:
        """The running task, and those it begins from now on, belong to the call: its pauses hold for their logs."""
        paused_call.set(self._pausing)

    def keep(self) -> None:
        """Record nothing while the caller is asked for what nobody may keep, or has not agreed."""
        if self._dialogue.sensitive:
            self._pausing.hold("secret")
        else:
            self._pausing.release("secret")
        if self._dialogue.may_record:
            self._pausing.release("consent")
        else:
            self._pausing.hold("consent")

    def withheld(self, text: str) -> bool:
        """Whether what the caller tells a person is what the agent had asked for and must not keep, such as a PIN."""
        return self._dialogue.sensitive and any(character.isdigit() for character in text)
