"""How browsers prove themselves to an OpenAI Realtime endpoint: a subprotocol holds the key, for want of headers."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from agent.gateways.ways import Admitted, Asking, Keys, Refused, Verdict

SUBPROTOCOL = "realtime"
"""The subprotocol that is chosen."""
_KEY_PREFIX = "openai-insecure-api-key."


@dataclass(frozen=True, slots=True)
class SubprotocolKey:
    """The key as browsers send it, which cannot set headers: a subprotocol `openai-insecure-api-key.KEY`."""

    name: str = "key in the subprotocol"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        offered = (name.strip() for name in asking.headers.get("sec-websocket-protocol", "").split(","))
        given = next((name.removeprefix(_KEY_PREFIX) for name in offered if name.startswith(_KEY_PREFIX)), None)
        if given is None:
            return None
        if keys.key is None:
            return Refused("no_key")
        good = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), keys.key.encode())
        return Admitted(f"{asking.gateway}:bearer") if good else Refused("bad_credentials")
