"""What a gateway's start carries along, as parameters of the call: names to texts, whatever JSON the values were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.gateways.messages import compact, text_map_field


def as_parameters(fields: Mapping[str, Any], name: str = "parameters") -> dict[str, str]:
    """Texts as they are, other JSON values as written, null left out; `name` is what faults call the object.

    Raises:
        MessageError: `bad_field`, a name or a text that cannot be stored.
    """
    texts = {key: as_text(value) for key, value in fields.items() if value is not None}
    return text_map_field({name: texts}, name)


def as_text(value: object) -> str:
    """A JSON value as text: `yes`, `true`, `12`, `{"a":1}`."""
    return value if isinstance(value, str) else compact({"": value})[4:-1]
