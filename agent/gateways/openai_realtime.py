"""OpenAI Realtime (GA, websocket): clients of that API talk to this agent, whose dialogue takes the model's place.

The call starts with the first audio (or, where the client pushes to talk, types or wants to be greeted, with the first
`response.create`), not with the connection: clients configure the session first and expect silence until they act. The
greeting is an ordinary response; where the call starts with a question, greeting and answer share one.

Which faults end the call is said in `agent.gateways.messages`. Every client event that cannot be carried out is
answered by an `error` event, and the session goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    CallTool,
    Capabilities,
    Command,
    Event,
    Hangup,
    MediaPaused,
    Play,
    Refuse,
    ShowReply,
    ShowSpeech,
    ShowTranscript,
    TextIn,
    ToolResult,
    ToolsOffered,
    Transfer,
    Truncated,
)
from agent.gateways.gateway import Gateway, Opening
from agent.gateways.messages import MessageError, Screen, parse_object, shown
from agent.gateways.openai_audio import Convert, bytes_per_ms, converter, decoded, unchanged
from agent.gateways.openai_caller import Caller, Turn
from agent.gateways.openai_events import Events, Items, Rejected, invalid, missing
from agent.gateways.openai_key import SUBPROTOCOL, SubprotocolKey
from agent.gateways.openai_response import Replies
from agent.gateways.openai_session import SessionSettings, modality
from agent.gateways.ways import Bearer
from audio.codec import Encoding

TRANSFER_TOOL, HANGUP_TOOL = "transfer_call", "end_call"
"""Functions a client declares to be told that the caller is to be handed over, or that the call is over."""
MAX_TEXT = 2000
"""Characters of what a client types in one turn, as in the plain protocol."""
PIECE_MS = 200
"""Audio that comes in larger pieces is passed on in such ones, so that one message does not hold up other calls."""
SILENCE_MS = 200
"""Silence after a turn that the client committed: the recognizer wants a little after the last word."""
DEFAULT_MODEL = "callagent"

CAPABILITIES = Capabilities(
    encoding=Encoding("pcm16", 24000),
    frame_ms=20,
    bulk=True,
    max_message=262_144,
    marks="none",
    clear=True,
    dtmf_in=False,
    transfer="none",
    hangup="close",
    captions=True,
)
_HANDLED = "session.update, input_audio_buffer.*, conversation.item.*, response.create and response.cancel"


class OpenAIRealtimeProtocol:
    """One Realtime session. Settings: `agent.gateways.openai_session`; responses: `agent.gateways.openai_response`."""

    name = "openai"

    def __init__(
        self, call_id: str, model: str | None = None, caller: str | None = None, called: str | None = None
    ) -> None:
        """`call_id` names the call and, without its prefix, every id; `model` is what the client asked for."""
        self._call_id = call_id
        self._caller_number, self._called_number = caller, called
        self._model = (model or DEFAULT_MODEL)[:128]
        self._events = Events("".join(letter for letter in call_id if letter.isalnum())[-24:])
        self._items = Items()
        self._settings = SessionSettings(self._events.new("sess"), self._model)
        self._replies = Replies(self._events, self._items, self._events.new("conv"))
        self._caller = Caller(self._events, self._items, self._settings)
        self._screen = Screen()
        self._capabilities = CAPABILITIES
        self._started = False
        self._stopped = False
        self._answer: Answer | None = None
        self._tool_answered = False
        self._ours: dict[str, str] = {}
        self._inward: Convert = unchanged
        self._outward: Convert = unchanged

    @property
    def capabilities(self) -> Capabilities:
        """The encoding is the better of the client's two formats as the call starts; other formats are converted.

        A transfer, and a hang-up with its reason, are possible in-band where the client declared the functions
        `transfer_call` and `end_call`.
        """
        names = self._settings.functions
        return replace(
            self._capabilities,
            transfer="message" if TRANSFER_TOOL in names else "none",
            hangup="message" if HANGUP_TOOL in names else "close",
        )

    def opening(self) -> Sequence[Event]:
        """The server speaks first: `session.created`."""
        return (Answer(self._events.write("session.created", session=self._settings.shown())),)

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        if self._stopped:
            return ()
        self._answer = None
        events = self._screen.take(message, CAPABILITIES.max_message, self._handle)
        return events if self._answer is None or self._screen.closed else (*events, self._answer)

    def send(self, command: Command) -> Sequence[str]:
        """Turn a command into server events; only a refusal before the call has started."""
        if self._screen.closed or self._stopped:
            return ()
        if not self._started:
            return self._refused(command.code) if isinstance(command, Refuse) else ()
        if isinstance(command, Play):
            return self._replies.play(self._outward(command.audio)) if command.audio else ()
        follows_speech = self._caller.follows_speech()
        match command:
            case ShowReply(generation, "began"):
                return (self._caller.commit() if follows_speech else []) + self._replies.began(generation)
            case ShowReply(generation, "done"):
                return self._replies.done(generation)
            case ShowReply(generation, "interrupted", heard_ms):
                return self._replies.interrupted(generation, heard_ms)
            case ShowSpeech(on, at_ms):
                return self._caller.speech(on, at_ms)
            case ShowTranscript("caller", text, final):
                return self._caller.said(text, final)
            case ShowTranscript("agent", text, final):
                if final:
                    self._replies.heard(text)
                    return ()
                return self._replies.say(text)
            case CallTool(call_id, name, arguments):
                return self._replies.call(name, arguments, call_id)
            case Transfer(target, context):
                return self._own_call(TRANSFER_TOOL, {**context, "target": target}, "transferred")
            case Hangup(reason, context):
                return self._own_call(HANGUP_TOOL, {**context, "reason": reason}, reason)
            case Refuse(code):
                return self._refused(code)
            case _:
                return ()

    def _refused(self, code: str) -> Sequence[str]:
        return (self._events.error(MessageError(code, f"The call is not taken: {code}."), None),)

    def _own_call(self, name: str, arguments: Mapping[str, object], ended: str) -> Sequence[str]:
        if name not in self._settings.functions:
            return ()
        call_id = self._events.new("call")
        self._ours[call_id] = ended
        return self._replies.call(name, arguments, call_id)

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        message: dict[str, Any] = {}
        try:
            if isinstance(raw, bytes):
                raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
            message = parse_object(raw)
            return self._take(message)
        except MessageError as error:
            self._answer = Answer(self._events.error(error, message.get("event_id")))
            raise

    def _take(self, message: Mapping[str, Any]) -> Sequence[Event]:
        kind = message.get("type")
        match kind:
            case "input_audio_buffer.append":
                return self._append(message)
            case "session.update":
                return self._update(message)
            case "input_audio_buffer.commit":
                return _answers(self._caller.commit_by_client())
            case "input_audio_buffer.clear":
                self._caller.clear()
                return (self._written("input_audio_buffer.cleared"),)
            case "conversation.item.create":
                return self._create_item(message)
            case "conversation.item.retrieve":
                item = self._item(message, "retrieve", "retrieving")
                return (self._written("conversation.item.retrieved", item=item),)
            case "conversation.item.delete":
                item_id = self._item(message, "delete", "deleting")["id"]
                self._items.remove(item_id)
                return (self._written("conversation.item.deleted", item_id=item_id),)
            case "conversation.item.truncate":
                return self._truncate(message)
            case "response.create":
                return self._create_response(message)
            case "response.cancel":
                return self._cancel(message)
            case "output_audio_buffer.clear":
                return self._clear_output()
            case None:
                raise missing("type")
            case _:
                detail = f"Invalid value: {shown(kind)}. Supported values are: {_HANDLED}."
                raise Rejected("invalid_value", detail, "type")

    def _written(self, kind: str, **fields: object) -> Answer:
        return Answer(self._events.write(kind, **fields))

    def _update(self, message: Mapping[str, Any]) -> Sequence[Event]:
        session = message.get("session")
        if session is None:
            raise missing("session")
        if not isinstance(session, dict):
            raise invalid("session", "an object")
        before, functions = self._settings.input_format, self._settings.functions
        self._settings.update(session, text_forever=self._started and not self._capabilities.audio_out)
        self._replies.text_only = self._settings.text_only
        self._replies.bytes_per_ms = bytes_per_ms(self._settings.output_encoding)
        if self._settings.input_format != before:
            self._caller.clear()
        self._convert()
        updated = self._written("session.updated", session=self._settings.shown())
        return (updated, *self._offered()) if self._started and functions != self._settings.functions else (updated,)

    def _convert(self) -> None:
        """Convert between the client's formats and the call's, which is final once the call has started."""
        if not self._started:
            self._capabilities = replace(self._capabilities, encoding=self._settings.call_encoding)
        self._inward = converter(self._settings.input_encoding, self._capabilities.encoding)
        self._outward = converter(self._capabilities.encoding, self._settings.output_encoding)

    def _append(self, message: Mapping[str, Any]) -> Sequence[Event]:
        payload = message.get("audio")
        if payload is None:
            raise missing("audio")
        audio = decoded(payload, "audio", self._settings.input_encoding)
        if not audio:
            return ()
        self._caller.append(audio)
        if self._settings.pushes_to_talk:
            return ()
        begin = () if self._started else self._start(typed=False)
        return (*begin, *self._pieces(self._inward(audio)))

    def _pieces(self, audio: bytes) -> Sequence[Event]:
        size = int(bytes_per_ms(self._capabilities.encoding) * PIECE_MS)
        if 0 < len(audio) <= size:
            return (AudioIn(audio),)
        return [AudioIn(audio[at : at + size]) for at in range(0, len(audio), size)]

    def _start(self, typed: bool) -> Sequence[Event]:
        """The call begins. typed: without a live line to the caller's microphone."""
        self._started = True
        text_only = self._settings.text_only
        self._capabilities = replace(
            self._capabilities,
            audio_in=not (self._settings.pushes_to_talk or (typed and text_only)),
            audio_out=not text_only,
        )
        self._convert()
        # a client that mutes its microphone sends nothing at all
        numbers = {"caller": self._caller_number, "called": self._called_number}
        started = CallStarted(self._call_id, self._call_id, **numbers, parameters={"model": self._model})
        return (started, MediaPaused(True), *self._offered())

    def _offered(self) -> Sequence[Event]:
        """The client's tools that the agent may have it run; its own two are asked for where a call moves or ends."""
        names = tuple(sorted(self._settings.functions - {TRANSFER_TOOL, HANGUP_TOOL}))
        return (ToolsOffered(names),) if names else ()

    def _create_item(self, message: Mapping[str, Any]) -> Sequence[Event]:
        given, before = message.get("item"), message.get("previous_item_id")
        if given is None:
            raise missing("item")
        if not isinstance(given, dict):
            raise invalid("item", "an object")
        if before is not None and before != "root" and (not isinstance(before, str) or not self._items.find(before)):
            raise invalid("previous_item_id", "'root' or the id of an item of this conversation")
        if given.get("type") == "function_call_output":
            return self._tool_result(given)
        return _answers(self._caller.create(given, MAX_TEXT))

    def _tool_result(self, given: Mapping[str, Any]) -> Sequence[Event]:
        call_id, output = given.get("call_id"), given.get("output")
        if not isinstance(call_id, str) or not call_id:
            raise missing("item.call_id")
        if not isinstance(output, str):
            raise invalid("item.output", "a string")
        answers = _answers(self._caller.keep(given, call_id=call_id, output=output))
        ended = self._ours.pop(call_id, None)
        if ended is not None:
            self._stopped = True
            return [*answers, CallEnded(ended)]
        self._tool_answered = True
        return [*answers, ToolResult(call_id, output)] if self._started else answers

    def _item(self, message: Mapping[str, Any], what: str, doing: str) -> dict[str, Any]:
        item_id = message.get("item_id")
        if item_id is None:
            raise missing("item_id")
        item = self._items.find(item_id) if isinstance(item_id, str) else None
        if item is None:
            # some clients go by these words
            detail = f"Error {doing} item: the item with id {shown(item_id)} does not exist."
            raise Rejected(f"item_{what}_invalid_item_id", detail, "item_id")
        return item

    def _truncate(self, message: Mapping[str, Any]) -> Sequence[Event]:
        item = self._item(message, "truncate", "truncating")
        end, index = message.get("audio_end_ms"), message.get("content_index")
        if item.get("role") != "assistant" or item["content"][0]["type"] != "output_audio":
            raise Rejected("unsupported_content_type", "Only model output audio messages can be truncated", "item_id")
        if index != 0 or isinstance(index, bool):
            raise invalid("content_index", "0")
        if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end < 10**9:
            raise invalid("audio_end_ms", "a whole number of milliseconds")
        current = item["id"] == self._replies.item_id
        if current and end > self._replies.sent_ms:
            detail = f"Audio content of {self._replies.sent_ms:.0f}ms is already shorter than {end}ms."
            raise Rejected("invalid_value", detail, "audio_end_ms")
        fields = {"item_id": item["id"], "content_index": 0, "audio_end_ms": end}
        answer = self._written("conversation.item.truncated", **fields)
        return (Truncated(max(0.0, end - self._replies.before_ms)), answer) if current else (answer,)

    def _create_response(self, message: Mapping[str, Any]) -> Sequence[Event]:
        text_only, metadata = self._asked(message)
        turns = self._caller.take()
        busy, asked = self._replies.busy, self._caller.waits or self._tool_answered
        if self._replies.active and not turns:
            if self._tool_answered:
                self._tool_answered = False
                return ()
            detail = f"Conversation already has an active response in progress: {self._replies.last_id}."
            raise Rejected("conversation_already_has_active_response", detail)
        self._tool_answered = False
        if self._started and not (turns or busy or asked):
            why = "The agent answers the caller; nothing was said, typed or returned since its last words."
            return _answers(self._replies.refuse(text_only, metadata, "nothing_to_answer", why))
        begin = () if self._started else self._start(typed=True)
        awaited = 0 if self._replies.working and not turns else 1 + bool(begin and turns)
        answers = _answers(self._replies.request(text_only, metadata, awaited, muted=bool(turns) and busy))
        return [*answers, *begin, *(event for turn in turns for event in self._given(turn))]

    def _asked(self, message: Mapping[str, Any]) -> tuple[bool, Mapping[str, str] | None]:
        wanted = message.get("response")
        if wanted is None:
            wanted = {}
        if not isinstance(wanted, dict):
            raise invalid("response", "an object")
        if wanted.get("conversation", "auto") not in ("auto", None):
            raise invalid("response.conversation", "'auto'; nothing is answered outside the conversation")
        if wanted.get("input") is not None:
            raise invalid("response.input", "nothing; the agent answers in the conversation")
        text_only = self._settings.text_only
        if (modalities := wanted.get("output_modalities")) is not None:
            text_only = modality(modalities, "response.output_modalities")
            if self._started and not text_only and not self._capabilities.audio_out:
                raise invalid("response.output_modalities", "['text']; this call began without a voice")
        metadata = wanted.get("metadata")
        if metadata is not None and not (
            isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        ):
            raise invalid("response.metadata", "an object of strings")
        return text_only, metadata

    def _given(self, turn: Turn) -> Sequence[Event]:
        if isinstance(turn, str):
            return (TextIn(turn),)
        encoding = self._capabilities.encoding
        silence = encoding.silence(encoding.rate * SILENCE_MS // 1000)
        return [*self._pieces(self._inward(turn)), AudioIn(silence)]

    def _cancel(self, message: Mapping[str, Any]) -> Sequence[Event]:
        named = message.get("response_id")
        if not self._replies.active or (named is not None and named != self._replies.last_id):
            raise Rejected("response_cancel_not_active", "Cancellation failed: no active response found.")
        heard_ms = self._replies.sent_ms - self._replies.before_ms
        return [Truncated(heard_ms), *_answers(self._replies.cancel("client_cancelled"))]

    def _clear_output(self) -> Sequence[Event]:
        if self._replies.last_id is None:
            raise Rejected("output_audio_buffer_empty", "Nothing was said yet.")
        cleared = self._written("output_audio_buffer.cleared", response_id=self._replies.last_id)
        return [*self._cancel({}), cleared] if self._replies.active else [cleared]


def _answers(messages: Sequence[str]) -> list[Event]:
    return [Answer(message) for message in messages]


def _new(opening: Opening) -> OpenAIRealtimeProtocol:
    query = opening.query
    caller, called = (query.get(name, "")[:64] or None for name in ("caller", "called"))
    return OpenAIRealtimeProtocol(opening.call_id, query.get("model"), caller, called)


OPENAI = Gateway(
    name="openai",
    title="OpenAI Realtime clients",
    new=_new,
    capabilities=CAPABILITIES,
    ways=(Bearer(), SubprotocolKey()),
    subprotocols=(SUBPROTOCOL,),
    wire="text JSON, base64",
    verified="official SDK types and async client (openai 3.54.0); documents",
)
GATEWAYS = (OPENAI,)
