"""Which language a text is in, and which one it asks for."""

import pytest

from models.languages import asked_for, base, ideographs, written_in


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Speak Chinese, please.", "zh"),
        ("Can we talk in Mandarin?", "zh"),
        ("do you speak English", "en"),
        ("请说中文", "zh"),
        ("可以用普通话吗", "zh"),
        ("说英语可以吗", "en"),
        ("换成英文", "en"),
        ("I don't speak Chinese, in English please", "en"),
    ],
)
def test_a_language_that_is_asked_for(text: str, language: str) -> None:
    assert asked_for(text) == language


@pytest.mark.parametrize(
    "text",
    ["where is my order", "I can't speak Chinese", "我不会说英语", "the Chinese restaurant", "我的英文名是 Lee", ""],
)
def test_no_language_is_asked_for(text: str) -> None:
    assert asked_for(text) is None


def test_a_text_is_in_the_language_of_its_script() -> None:
    assert written_in("VIP 客户") == "zh"
    assert written_in("42719", "zh") == "zh"
    assert written_in("hello") == "en"
    assert ideographs("VIP 客户。") == 2
    assert base("zh_Hans-CN") == base("zh") == "zh"
