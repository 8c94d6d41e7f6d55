"""Traditional Chinese characters as simplified ones.

Whisper writes either at will; understanding, slots and records work on simplified ones.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


def simplified(text: str) -> str:
    """`text` with simplified characters, one for one; unchanged where the extra `zh`, which has the table, is absent.

    The first call reads the table (0.1 to 0.5 s).
    """
    return text.translate(_table()) if any(character >= "\u3400" for character in text) else text


@cache
def _table() -> dict[int, int]:
    if find_spec("misaki") is None or find_spec("pypinyin") is None:
        return {}
    from misaki.zh_normalization.char_convert import t2s_dict

    table = {ord(old): ord(new) for old, new in t2s_dict.items() if old != new and old not in _KEPT}
    return table


_KEPT = frozenset("著幺么")
"""Characters that are right as they are, or stand for themselves in dictated digits."""
