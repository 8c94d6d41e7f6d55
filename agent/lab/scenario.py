"""A simulated call as a file describes it: who calls, over what line, what is said and what must come of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from agent.lab.expectations import Expectation
from agent.lab.spoken import Spoken
from agent.lab.steps import NOISES, Part, Step
from agent.yamlfile import FileError, YamlFile, explain, read_yaml

_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""What `say` takes for a line's id; words to be said have a capital, a blank or a mark."""

Voice = Literal["jm_kumo", "jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro"]
VOICE: Voice = "jm_kumo"
"""The caller's voice where none is named."""


class Line(Part):
    """One thing the caller says, and how.

    pauses_ms: the commas of `text` become pauses of these lengths in turn, used again from the first; 0 leaves a comma.
    wav: a recording beside the scenario that says `text`, used as it is.
    """

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    voice: Voice | None = None
    speed: float = Field(1.0, ge=0.5, le=2.0)
    seed: int = 0
    raised: bool = False
    pauses_ms: tuple[Annotated[int, Field(ge=0, le=10_000)], ...] = ()
    wav: str | None = None

    @model_validator(mode="after")
    def _parts_between_commas(self) -> Line:
        if self.pauses_ms and not all(part.strip() for part in self.text.split(",")):
            raise ValueError("with 'pauses_ms' there must be words before, between and after the commas of 'text'")
        return self


class Noise(Part):
    """A bed of noise; snr_db is relative to speech of -23 dBFS."""

    kind: str = Field(pattern=r"^(white|pink|babble|tv|.+\.wav)$")
    snr_db: float = Field(ge=-20, le=80)


class Echo(Part):
    """What the agent says comes back into the caller's microphone, `level_db` below how it was heard."""

    level_db: float = Field(ge=-60, le=6)
    delay_ms: float = Field(160.0, ge=0, le=1000)


class SecondTalker(Part):
    """Somebody else talks in the room now and then; level_db relative to the caller."""

    level_db: float = Field(ge=-60, le=12)


class LineQuality(Part):
    """What the line does to the caller's voice; all of it optional. See `audio.damage`."""

    codec: Literal["alaw", "mulaw", "none"] = "none"
    gain_db: float = Field(0.0, ge=-40, le=20)
    loss_percent: float = Field(0.0, ge=0, le=50)
    jitter_ms: float = Field(0.0, ge=0, le=500)
    noise: Noise | None = None
    echo: Echo | None = None
    speakerphone: float = Field(0.0, ge=0, le=1)
    second_talker: SecondTalker | None = None


class Script(Part):
    """A scenario file's contents.

    paused_share: of what `say` says, this share, drawn by the call's seed, gets a pause of 250 to 700 ms between two
    words where there is a gap.
    """

    description: str
    tags: tuple[str, ...] = ()
    protocol: Literal["twilio", "plain"] = "twilio"
    voice: Voice = VOICE
    caller: str | None = None
    called: str | None = None
    life_s: float = Field(180.0, gt=0, le=900)
    domain: str = "shop"
    line: LineQuality = LineQuality()
    paused_share: float = Field(0.0, ge=0, le=1)
    lines: tuple[Line, ...] = ()
    steps: tuple[Step, ...] = Field(min_length=1)
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A script with a name, the folder its WAVs lie in, and sounds that need not be rendered, by line id."""

    name: str
    script: Script
    folder: Path = Path()
    sounds: Mapping[str, Spoken] = field(default_factory=dict)

    def line(self, named: str) -> Line:
        """The line of that id, or else one that says `named` itself."""
        found = next((line for line in self.script.lines if line.id == named), None)
        return found or Line(id=named, text=named)

    def spoken_lines(self) -> Iterator[Line]:
        """The lines that its steps say, each once, in order."""
        seen = set()
        for step in self.script.steps:
            named = step.say or step.backchannel
            if named is not None and named not in seen:
                seen.add(named)
                yield self.line(named)


def read_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        FileError: an unknown key or step, a wrong value, a step or expectation that names no line, a WAV that is not
            there; with file and line.
    """
    file = read_yaml(path)
    try:
        script = Script.model_validate(file.data)
    except ValidationError as error:
        raise FileError(explain(file, error)) from error
    if problems := [*_dangling(file, script), *_missing(file, script)]:
        raise FileError(problems)
    return Scenario(path.stem, script, path.parent)


def _dangling(file: YamlFile, script: Script) -> Iterator[str]:
    known = {line.id for line in script.lines}
    if len(known) < len(script.lines):
        yield file.problem(("lines",), "two lines have the same id; give each its own")
    for n, step in enumerate(script.steps):
        if step.say is not None and step.say not in known and _ID.fullmatch(step.say):
            yield file.problem(("steps", n), f"there is no line {step.say!r}; {_choice(known)}, or write out the words")
    said = known | {step.say for step in script.steps if step.say is not None}
    for n, expectation in enumerate(script.expect):
        if expectation.line is not None and expectation.line not in said:
            yield file.problem(("expect", n), f"there is no line {expectation.line!r}; {_choice(known)}")


def _choice(known: set[str]) -> str:
    return f"use one of {', '.join(sorted(known))}" if known else "there are no lines with an id"


def _missing(file: YamlFile, script: Script) -> Iterator[str]:
    named: list[tuple[Sequence[str | int], str | None]] = [
        (("lines", n, "wav"), line.wav) for n, line in enumerate(script.lines)
    ]
    named += [(("steps", n), None if step.noise in NOISES else step.noise) for n, step in enumerate(script.steps)]
    if script.line.noise is not None and script.line.noise.kind.endswith(".wav"):
        named.append((("line", "noise"), script.line.noise.kind))
    for where, wav in named:
        if wav is not None and not (file.path.parent / wav).is_file():
            yield file.problem(tuple(where), f"{wav} is not there; put it beside {file.path.name}, or correct the name")
