"""jambonz's media socket: the `listen` verb, which is FreeSWITCH's mod_audio_fork with call information ahead.

Transfers and hang-ups go through the application socket, see `agent.gateways.jambonz_app`.
"""

from __future__ import annotations

from dataclasses import replace

from agent.gateways.base import CallStarted, Command, Hangup, ShowTranscript, Transfer
from agent.gateways.freeswitch import GATEWAYS as FREESWITCH
from agent.gateways.freeswitch import ForkProtocol, Names
from agent.gateways.gateway import Gateway, Opening
from agent.gateways.messages import INVALID, MessageError, parse_object, text_field
from agent.gateways.ways import Basic

SUBPROTOCOL = "audio.jambonz.org"
_CAPABILITIES = replace(FREESWITCH[0].capabilities, transfer="rest", hangup="rest", captions=False)
_NAMES = Names(call=("callSid",), caller=("from",), called=("to",))


class JambonzProtocol(ForkProtocol):
    """One media socket; call information without a callSid ends it with 1007.

    What mod_audio_fork only passes on is not sent: jambonz has no ear for it.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening, "jambonz", _CAPABILITIES, _NAMES)

    def _start(self, raw: str | None) -> CallStarted:
        try:
            text_field(parse_object(raw or ""), "callSid")
        except MessageError as error:
            raise MessageError(error.code, f"call information: {error.detail}", INVALID) from error
        return super()._start(raw)

    def _written(self, command: Command) -> str | bytes | None:
        match command:
            case Transfer() | Hangup() | ShowTranscript():
                return None
            case _:
                return super()._written(command)


GATEWAYS = (
    Gateway(
        name="jambonz",
        title="jambonz",
        new=JambonzProtocol,
        capabilities=_CAPABILITIES,
        ways=(Basic(),),
        subprotocols=(SUBPROTOCOL,),
        wire="binary L16, text JSON",
        verified="jambonz's source (feature-server @389c65e, freeswitch-modules @30f2189), its verb validator and its "
        "websocket client, run against the application socket; no call was run",
    ),
)
