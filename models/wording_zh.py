"""How Chinese turns are taken apart: their clauses, and what stands around a bare value. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.contracts import Slot

_SENTENCE = re.compile(r"[。！？；?!;]+|\.(?=\s|$)|\n+")
_LEAST = 2
"""Characters of a clause."""
_LEAD_IN = re.compile(
    r"不好意思|对不起|订单号码?|订单|单号|编号|尾号|后四位|号码|电话号码?|手机号?码?|电话|邮箱|邮件|地址|名字|姓名|账号|账户|卡号|密码|验证码|邮编"
    r"|出生日期|生日|日期|时间|金额|好像是?|应该是|大概是?|就是|不对|不是|是的|对的|好的|没错|没有|我的意思|我是说|我说的?是?|改成|换成"
    r"|谢谢|麻烦|稍等|等一下|看一下|我看看|我想想|因为|左右|大概|一共|总共|刚才|现在|这里|那边|给你|告诉你|报给你|有点|有些|比较|太"
    r"|[我你您他她它是的叫姓为在嗯呃额啊哦噢喔诶哎那这个就吧呢了吗嘛请对好行要想到从往去和跟也都还再说给有用元块钱号日]|嗨|喂|请问|你好|您好"
)
"""What may stand around a bare value without making it a request."""


def clauses(text: str) -> list[str]:
    """The sentences of `text` with at least two characters."""
    parts = [part.strip(" ，,") for part in _SENTENCE.split(text)]
    return [part for part in parts if len(part) >= _LEAST]


def residue(text: str, slots: Sequence[Slot]) -> list[str]:
    """What of `text` is in no value and no lead-in, in pieces of two characters, about a word each."""
    bare = list(text)
    for slot in slots:
        for place in range(*slot.span):
            bare[place] = "，"
    rest = re.split(r"[\W_]+", _LEAD_IN.sub(" ", "".join(bare)))
    return [piece[at : at + 2] for piece in rest for at in range(0, len(piece), 2)]
