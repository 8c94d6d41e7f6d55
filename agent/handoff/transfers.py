"""Where callers go whose gateway asks only after we close the stream."""

from __future__ import annotations

from collections import OrderedDict

BOUND = 1000
"""Targets kept; a gateway asks within seconds, so the oldest is safely dropped."""


class Transfers:
    """Targets by gateway and its call id, each given out once."""

    def __init__(self) -> None:
        self._targets: OrderedDict[tuple[str, str], str] = OrderedDict()

    def put(self, gateway: str, gateway_call_id: str, target: str) -> None:
        """The caller of this call goes to `target` next."""
        self._targets[gateway, gateway_call_id] = target
        while len(self._targets) > BOUND:
            self._targets.popitem(last=False)

    def take(self, gateway: str, gateway_call_id: str) -> str | None:
        """Where the caller goes next; None where the call is simply over."""
        return self._targets.pop((gateway, gateway_call_id), None)

    def take_of_any(self, gateway_call_id: str) -> str | None:
        """The same for who may ask about every gateway."""
        found = next((key for key in self._targets if key[1] == gateway_call_id), None)
        return None if found is None else self._targets.pop(found)
