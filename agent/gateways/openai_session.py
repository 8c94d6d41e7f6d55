"""The session of an OpenAI Realtime connection: what a client may configure, and what of it is in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.gateways.openai_audio import FORMATS
from agent.gateways.openai_events import Rejected, invalid, missing
from audio.codec import Encoding

_EARLIER_NAMES = (
    "modalities",
    "input_audio_format",
    "output_audio_format",
    "input_audio_transcription",
    "turn_detection",
    "max_response_output_tokens",
)
"""Fields of the beta API's session: ignoring them would leave a client with another audio format than it thinks."""
_OURS = {"create_response": True, "interrupt_response": True}
"""Our agent answers when a turn is over and yields when it is interrupted, whatever a client asks."""
_VAD_FIELDS: dict[str, tuple[str, ...]] = {
    "server_vad": ("threshold", "prefix_padding_ms", "silence_duration_ms"),
    "semantic_vad": ("eagerness",),
}


class SessionSettings:
    """What `session.update` set, and the effective session as `session.created` and `session.updated` show it.

    In force: audio formats, output modality, whether turns are detected (`pushes_to_talk`), transcription events, names
    of functions. Shown but not followed: instructions, voice, speed, limits, and the numbers of voice activity
    detection, since our own dialogue, voice and floor decide. Anything else is accepted, neither shown nor followed.
    """

    def __init__(self, session_id: str, model: str) -> None:
        self.input_format = "audio/pcm"
        self.output_format = "audio/pcm"
        self.text_only = False
        self.pushes_to_talk = False
        self.transcribes = False
        self.functions: frozenset[str] = frozenset()
        self._input: dict[str, Any] = {
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {"type": "semantic_vad", "eagerness": "auto", **_OURS},
        }
        self._output: dict[str, Any] = {"voice": "agent", "speed": 1.0}
        self._shown: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
        }

    @property
    def input_encoding(self) -> Encoding:
        """How the client sends audio."""
        return FORMATS[self.input_format]

    @property
    def output_encoding(self) -> Encoding:
        """How the client wants audio."""
        return FORMATS[self.output_format]

    @property
    def call_encoding(self) -> Encoding:
        """The better of both."""
        return self.input_encoding if self.input_encoding.rate > self.output_encoding.rate else self.output_encoding

    def shown(self) -> dict[str, Any]:
        """The effective session, JSON-ready."""
        return {
            **self._shown,
            "output_modalities": ["text"] if self.text_only else ["audio"],
            "audio": {
                "input": {**self._input, "format": _format(self.input_format)},
                "output": {**self._output, "format": _format(self.output_format)},
            },
        }

    def update(self, given: Mapping[str, Any], text_forever: bool) -> None:
        """Take what is given; all or nothing. text_forever: the call has no voice, and gets none any more.

        Raises:
            Rejected: a value cannot be used.
        """
        if given.get("type", "realtime") != "realtime":
            raise invalid("session.type", "'realtime'; transcription sessions are not served")
        for name in _EARLIER_NAMES:
            if name in given:
                raise Rejected("unknown_parameter", f"Unknown parameter: 'session.{name}'.", f"session.{name}")
        text_only = self.text_only
        if given.get("output_modalities") is not None:
            text_only = modality(given["output_modalities"], "session.output_modalities")
            if text_forever and not text_only:
                raise invalid("session.output_modalities", "['text']; this call began without a voice")
        shown = _general(given)
        audio = _part(given, "audio", "session.audio")
        incoming, outgoing = (
            _part(audio, "input", "session.audio.input"),
            _part(audio, "output", "session.audio.output"),
        )
        input_format = _format_of(incoming, "session.audio.input.format", self.input_format)
        output_format = _format_of(outgoing, "session.audio.output.format", self.output_format)
        input_shown = _listening(incoming)
        output_shown = {name: outgoing[name] for name in ("voice", "speed") if outgoing.get(name) is not None}
        if not isinstance(output_shown.get("voice", ""), str | dict):
            raise invalid("session.audio.output.voice", "a name")
        if not isinstance(output_shown.get("speed", 1.0), int | float):
            raise invalid("session.audio.output.speed", "a number")
        self.text_only, self.input_format, self.output_format = text_only, input_format, output_format
        self._shown |= shown
        self._input |= input_shown
        self._output |= output_shown
        self.pushes_to_talk = self._input["turn_detection"] is None
        self.transcribes = self._input["transcription"] is not None
        self.functions = frozenset(tool["name"] for tool in self._shown["tools"])


def modality(given: object, param: str) -> bool:
    """Whether `["text"]` was asked for rather than `["audio"]`.

    Raises:
        Rejected: it is neither.
    """
    if given not in (["text"], ["audio"]):
        raise invalid(param, "['audio'] or ['text']")
    return given == ["text"]


def _general(given: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, kinds, wanted in (
        ("instructions", (str,), "a string"),
        ("tool_choice", (str, dict), "a mode or an object"),
        ("max_output_tokens", (int, str), "a number or 'inf'"),
    ):
        if (value := given.get(name)) is not None:
            if not isinstance(value, kinds):
                raise invalid(f"session.{name}", wanted)
            shown[name] = value
    if (tools := given.get("tools")) is not None:
        if not isinstance(tools, list):
            raise invalid("session.tools", "a list of functions")
        for number, tool in enumerate(tools):
            if not isinstance(tool, dict) or tool.get("type") != "function":
                raise invalid(f"session.tools[{number}].type", "'function'; no other tools are served")
            if not isinstance(tool.get("name"), str):
                raise missing(f"session.tools[{number}].name")
        shown["tools"] = tools
    return shown


def _listening(incoming: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if "transcription" in incoming:
        wanted = incoming["transcription"]
        if wanted is not None and not isinstance(wanted, dict):
            raise invalid("session.audio.input.transcription", "an object or null")
        names = ("model", "language", "prompt")
        shown["transcription"] = (
            None if wanted is None else {name: wanted[name] for name in names if isinstance(wanted.get(name), str)}
        )
    if "turn_detection" in incoming:
        shown["turn_detection"] = _turn_detection(incoming["turn_detection"])
    return shown


def _turn_detection(wanted: object) -> dict[str, Any] | None:
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or not isinstance(kind, str) or kind not in _VAD_FIELDS:
        raise invalid("session.audio.input.turn_detection.type", "'server_vad', 'semantic_vad' or null for the whole")
    values = {name: wanted[name] for name in _VAD_FIELDS[kind] if isinstance(wanted.get(name), int | float | str)}
    return {"type": kind, **values, **_OURS}


def _part(given: Mapping[str, Any], name: str, param: str) -> dict[str, Any]:
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(param, "an object")
    return value


def _format_of(given: Mapping[str, Any], param: str, now: str) -> str:
    wanted = given.get("format")
    if wanted is None:
        return now
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(kind, str) or kind not in FORMATS:
        raise invalid(f"{param}.type", "'audio/pcm', 'audio/pcmu' or 'audio/pcma'")
    if wanted.get("rate", FORMATS[kind].rate) != FORMATS[kind].rate:
        raise invalid(f"{param}.rate", str(FORMATS[kind].rate))
    return kind


def _format(name: str) -> dict[str, Any]:
    return {"type": name, "rate": 24000} if name == "audio/pcm" else {"type": name}
