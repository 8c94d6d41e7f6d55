"""Is the caller's Chinese sentence finished? Rules alone: the words' network was taught English.

Where the rules say nothing the words stay near even, so that the silence and the voice decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.contracts import UnderstandingContext
from models.slots.chinese.digits import digit_runs
from models.slots.chinese.yes_no import cue, only
from models.slots.find import find_slots
from models.slots.spec import SlotContext, SlotSpec

FINISHED = 0.95
UNFINISHED = 0.05
NEUTRAL = 0.6
"""Where nothing is known: most pauses of 200 ms after whole words end a turn, but not by much."""
_ENDED = 0.85
_PARTIAL_VALUE = 0.08
_VALUE_SAID = 0.9
_ENOUGH_OF_MANY = 0.6
_BARE = 0.85
_TOO_SHORT = 0.4
"""One or two characters that are no answer: seldom all that a caller wants to say."""

_MARKS = re.compile(r"[\s。！？!?.]+$")
_TRAILS = re.compile(r"(?:[，,、：:；;—…-]|\.{2,})\s*$")
_HANGING = re.compile(
    r"(?:的时候|因为|所以|但是|可是|不过|然后|而且|还有|以及|或者|如果|要是|虽然|就是说?|那个|这个|比如说?|关于|对于|为了|除了|我的是|号是"
    r"|我想问?|我要|我想要|我觉得|请问|请|帮我|麻烦你?|能不能|可不可以|我在|把|被|跟|和|与|在|从|往|向|对于|给|是|叫|我的|你们的|这|那|一个|第|每"
    r"|嗯|呃|额|啊那个)$"
)
"""What no sentence of a caller ends with."""
_WHOLE = frozenset({"是", "嗯", "嗯嗯", "给"})
"""What hangs in a sentence and is one by itself."""
_ANNOUNCES = re.compile(
    r"(?:订单号?|单号|号码|电话|手机号?|邮箱|地址|账号|卡号|名字|生日|密码|验证码)(?:是|为|呢?是)?$"
)
_ENDS = re.compile(
    r"(?:吗|呢|吧|么|啊|呀|啦|了|谢谢|多谢|再见|拜拜|怎么办|多少钱?|什么|哪里|几点|可以|不行|一下|怎么样|好吗|行吗|没有)$"
)
_SOCIAL = re.compile(
    r"^(?:(?:好的?|嗯|行|那就?|没有?了?|不用了?)[，,\s]*)*(?:(?:谢谢你?您?|多谢|再见|拜拜|你好|您好|喂|早上好|下午好|晚上好)[啊了]?[，,。\s]*)+$"
)


def _hangs(plain: str) -> bool:
    """Whether a text ends in the middle of something; an answer of one word does not."""
    return plain not in _WHOLE and _HANGING.search(plain) is not None


class ChineseRules:
    """P(finished) in [0, 1] of Chinese texts."""

    def __init__(self, slot_specs: Sequence[SlotSpec]) -> None:
        """`slot_specs` are the values the domain may ask for."""
        self._specs = {spec.name: spec for spec in slot_specs}

    def answer(self, text: str, context: UnderstandingContext, at: SlotContext) -> float | None:
        """P(finished) of a text with words, from what was asked for; None where that says nothing."""
        plain = _MARKS.sub("", text)
        if _hangs(plain):
            return None
        for spec in (self._specs[name] for name in context.expected_slots if name in self._specs):
            found = find_slots(text, [spec], at)
            if spec.type in {"digits", "phone"}:
                runs = digit_runs(text)
                low = 8 if spec.type == "phone" else spec.option("min_length", 1)
                high = 11 if spec.type == "phone" else spec.option("max_length", 20)
                if found and len(str(found[-1].value).lstrip("+")) >= low:
                    whole = spec.type == "phone" or len(str(found[-1].value)) >= high
                    return FINISHED if whole else _ENOUGH_OF_MANY
                if runs and len(runs[-1].digits) < low and len(plain) - runs[-1].end <= 1:
                    return _PARTIAL_VALUE
            elif spec.type == "email":
                if any(slot.confidence >= 0.9 for slot in found):
                    return _VALUE_SAID
                if re.search(r"艾特|点|[A-Za-z]$", plain):
                    return _PARTIAL_VALUE
            elif found and not plain[found[-1].span[1] :].strip("的号吧啊呢，, "):
                return _ENOUGH_OF_MANY if spec.type == "address" else _VALUE_SAID
        if context.asked_yes_no and only(text):
            return FINISHED
        return None

    def wording(self, text: str, context: UnderstandingContext) -> float:
        """P(finished) of a text with words, from what it ends with."""
        plain = _MARKS.sub("", text).strip()
        if _TRAILS.search(text.strip()):
            return 0.25
        if _SOCIAL.match(plain):
            return FINISHED
        if _hangs(plain) or _ANNOUNCES.search(plain):
            return UNFINISHED
        if only(plain):
            return _BARE
        if re.search(r"[？?]\s*$", text) or _ENDS.search(plain):
            return _ENDED
        if context.asked_yes_no and cue(text) is not None:
            return _ENDED
        if len(plain) <= 2:
            return _TOO_SHORT
        return NEUTRAL
