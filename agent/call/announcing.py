"""What a caller hears who waits for a person: place, time, the offer of a call back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from models.languages import base

Words = Literal["lost", "callback"]

_WORDS: Mapping[str, Mapping[Words, str]] = {
    "en": {
        "lost": "I am sorry, my colleague was cut off. One moment, please.",
        "callback": "Thank you. A colleague will call you back, and will know what we talked about. Goodbye.",
    },
    "zh": {
        "lost": "抱歉，同事的连接断开了，请稍等。",
        "callback": "谢谢您。同事会给您回电，并且了解我们刚才的通话内容。再见。",
    },
}


def words(name: Words, language: str) -> str:
    """A fixed sentence, in English where the language has none of ours."""
    return _WORDS.get(base(language), _WORDS["en"])[name]


def announcement(kind: str, values: Mapping[str, Any], language: str) -> str | None:
    """What to say for an announcement of the queue's; None where other words say it already.

    position {position, wait_s|None}, callback_offer {position, wait_s|None, key}. That somebody comes, or nobody, is
    said by what follows: the farewell, or the words after a handoff that did not take.
    """
    chinese = base(language) == "zh"
    if kind not in ("position", "callback_offer"):
        return None
    said = [(_place_zh if chinese else _place)(values.get("position"), values.get("wait_s"))]
    if kind == "callback_offer":
        key = values.get("key", "1")
        said.append(
            f"如果您希望我们给您回电，请按{key}，或者说“请回电”。"
            if chinese
            else f"If you would rather be called back, press {key} or say: call me back."
        )
    return ("" if chinese else " ").join(one for one in said if one)


def _place(position: int | None, wait_s: float | None) -> str:
    said = "" if not position else "You are next in line." if position == 1 else f"You are number {position} in line."
    if wait_s is None:
        return said
    minutes = max(1, round(wait_s / 60.0))
    about = "about a minute" if minutes == 1 else f"about {minutes} minutes"
    return f"{said} The wait is {about}.".strip()


def _place_zh(position: int | None, wait_s: float | None) -> str:
    said = "" if not position else "下一位就是您。" if position == 1 else f"您排在第{position}位。"
    return said if wait_s is None else f"{said}大约需要等待{max(1, round(wait_s / 60.0))}分钟。"


_CALL_BACK = ("call me back", "callback", "call back", "ring me back", "回电", "回拨", "打给我")


def wants_callback(text: str, yes: bool) -> bool:
    """Whether a caller who was offered to be called back wants that. yes: he said yes."""
    lowered = text.lower()
    return yes or any(one in lowered for one in _CALL_BACK)
