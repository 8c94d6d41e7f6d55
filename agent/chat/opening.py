"""The public pages of a running server, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from agent.call.session import Session
from agent.chat.desk import Deliver, Feeds, PictureDesk
from agent.chat.pages import Chat
from agent.chat.pictures import PictureRead, available
from agent.chat.settings import ChatSettings
from agent.chat.vision import new_vision
from agent.chat.visits import Visits
from agent.clock import Clock, RealClock
from agent.gateways.base import TextIn
from models.errors import Overloaded
from models.pool import Priority
from models.slots import SlotSpec

if TYPE_CHECKING:
    from agent.server import CallServer

T = TypeVar("T")


def open_chat(
    server: CallServer,
    settings: ChatSettings,
    clock: Clock | None = None,
    *,
    key: str | None = None,
    feed: Callable[[], Feeds | None] = lambda: None,
) -> Chat:
    """The pages of `server`. key: of the vision model's server. feed: the human's, once there is one."""
    clock = clock or RealClock()
    desk = None
    if settings.pictures and available():
        desk = PictureDesk(
            settings,
            _InPool(server),
            clock,
            vision=new_vision(settings.vision, key),
            slots=lambda call_id: _slots(server),
            deliver=_deliver(server),
            feed=feed,
        )
    return Chat(settings, server, Visits(settings, clock), desk)


class _InPool:
    """Runs work on the server's pool, behind everything that callers wait for."""

    def __init__(self, server: CallServer) -> None:
        self._server = server

    async def __call__(self, work: Callable[[], T], /) -> T:
        if self._server.loaded is None:
            raise Overloaded("the server is not ready")
        return await self._server.loaded.pool.run(Priority.BACKGROUND, work)


def _slots(server: CallServer) -> Sequence[SlotSpec]:
    if server.loaded is None or server.loaded.domain is None:
        return ()
    return [SlotSpec(name, slot.type, slot.options) for name, slot in server.loaded.domain.slots.items()]


def _deliver(server: CallServer) -> Deliver:
    """Words reach the dialogue as a turn that the caller typed."""

    async def deliver(call_id: str, read: PictureRead, words: str) -> bool:
        session = server.sessions.get(call_id)
        if not isinstance(session, Session) or session.done:
            return False
        await session.handle(TextIn(words))
        return True

    return deliver
