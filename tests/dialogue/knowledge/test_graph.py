"""Questions to the graph that docs/knowledge.md shows, and the files it refuses."""
# ruff: noqa: E501

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.dialogue.knowledge.graph import GraphReader, read_graph

GUIDE = Path(__file__).parents[3] / "docs" / "knowledge.md"


def shown() -> str:
    """The graph.yaml of the guide."""
    return next(block for block in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.S) if "types:" in block)


def reader(text: str, folder: Path) -> GraphReader:
    path = folder / "graph.yaml"
    path.write_text(text, encoding="utf-8")
    problems: list[str] = []
    graph = read_graph(path, problems)
    assert graph is not None, problems
    return GraphReader(graph)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> GraphReader:
    return reader(shown(), tmp_path_factory.mktemp("graph"))


def rows() -> list[tuple[str, str]]:
    """The table of questions and answers of the guide."""
    table = GUIDE.read_text().split("It then answers")[1].split("Rules:")[0]
    return re.findall(r"^\| (?!question|-)(.*?) \| (.*?) \|$", table, re.M)


def test_the_guide_shows_enough() -> None:
    assert len(rows()) >= 8


@pytest.mark.parametrize(("question", "answer"), rows())
def test_answers_as_the_guide_says(plans: GraphReader, question: str, answer: str) -> None:
    asked, _, after = question.partition(" *(")
    found = plans.answer(asked, ["travel"] if after else [])
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is there a plan for six people", "None of our plans does."),
        ("what's the cheapest plan that comes with roaming for four people", "The Family plan is the cheapest, at $55 a month."),
        ("which is cheaper, Travel or Family?", "The Travel plan costs $35 a month. The Family plan costs $55 a month."),
        ("is the family plan cheaper than travel", "No. The Family plan costs $55 a month. The Travel plan costs $35 a month."),
        ("which plans don't include roaming", "That's the Basic plan."),
        ("a plan without roaming", "That's the Basic plan."),
        ("which plan costs more than thirty dollars and has voicemail", "That's the Travel plan."),
        ("do you have a plan under 40 dollars with roaming", "Yes. That's the Travel plan."),
        ("which plans do you have", "We have the Basic plan, the Travel plan and the Family plan."),
        ("does Travel have a contract and voice mail", "Yes, the Travel plan includes voicemail. Yes, the Travel plan comes with a one-year contract."),
        ("how many lines does the family plan have", "The Family plan has up to 5 lines."),
        ("is basic the cheapest plan", "Yes. The Basic plan is the cheapest, at $20 a month."),
        ("how much are Basic and Travel", "The Basic plan costs $20 a month. The Travel plan costs $35 a month."),
    ],
)  # fmt: skip
def test_answers(plans: GraphReader, question: str, answer: str) -> None:
    found = plans.answer(question)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    "question",
    ["what's the cheapest plan with a satellite phone", "how much does it cost", "which is the cheapest",
     "what does the Gold plan cost", "tell me about Basic", "how much is roaming", "which plan isn't the cheapest",
     "the cheapest plan for pensioners", "I want to cancel my plan", "", "what time do you open",
     "is Travel available in France", "who are you", "I have a plan", "my plan is Basic", "the plan for two nights"],
)  # fmt: skip
def test_is_silent_where_it_is_not_sure(plans: GraphReader, question: str) -> None:
    assert plans.answer(question) is None


@pytest.mark.parametrize(
    ("question", "about", "answer"),
    [
        ("and what does it cost", ["travel"], "The Travel plan costs $35 a month."),
        ("does that one have a contract", ["basic"], "No, the Basic plan has no contract."),
        ("which one is cheaper", ["family", "travel"], "The Travel plan costs $35 a month. The Family plan costs $55 a month."),
        ("is it cheaper than Family", ["basic"], "Yes. The Basic plan costs $20 a month. The Family plan costs $55 a month."),
        ("and how much is the family plan", ["basic"], "The Family plan costs $55 a month."),
        ("does the plan include roaming", ["travel"], "Yes, the Travel plan includes roaming."),
    ],
)  # fmt: skip
def test_takes_up_what_was_spoken_of(plans: GraphReader, question: str, about: list[str], answer: str) -> None:
    found = plans.answer(question, about)
    assert found is not None
    assert found.text == answer


CHINESE = """
language: zh
types:
  account: {words: [账户, 户口], none: 我们没有这样的账户。, list: "我们有{names}。"}
properties:
  fee:
    of: [account]
    kind: money
    currency: CNY
    words: [月费, 多少钱, 费用]
    say: "{name}每月{value}。"
    least: {words: [最便宜, 更便宜, 便宜], say: "{name}最便宜，每月{value}。"}
    zero: {words: [免月费, 免费], say: "{name}没有月费。"}
  card: {of: [account], kind: yes_no, words: [信用卡], yes: "是的，{name}带信用卡。", no: "不，{name}不带信用卡。"}
entities:
  basic: {type: account, names: [基本账户], fee: 0, card: no}
  gold: {type: account, names: [金账户, 黄金账户], fee: 30, card: yes}
  student: {type: account, names: [学生账户], fee: 12.5, card: no}
"""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> GraphReader:
    return reader(CHINESE, tmp_path_factory.mktemp("zh"))


@pytest.mark.parametrize(
    ("question", "about", "answer"),
    [
        ("金账户的月费是多少？", [], "金账户每月30元。"),
        ("哪个账户没有月费？", [], "是基本账户。"),
        ("请问哪个账户最便宜", [], "基本账户没有月费。"),
        ("有没有带信用卡的账户", [], "是的。是金账户。"),
        ("学生账户比金账户便宜吗", [], "是的。学生账户每月12.50元。金账户每月30元。"),
        ("月费低于二十元的账户有哪些", [], "有基本账户和学生账户。"),
        ("那它多少钱", ["gold"], "金账户每月30元。"),
        ("你们有哪些账户", [], "我们有基本账户、金账户和学生账户。"),
        ("金账户在北京有分行吗", [], None),
        ("今天天气怎么样", [], None),
    ],
)  # fmt: skip
def test_answers_in_chinese(accounts: GraphReader, question: str, about: list[str], answer: str | None) -> None:
    found = accounts.answer(question, about)
    assert (found.text if found else None) == answer


def test_names_its_source(plans: GraphReader) -> None:
    found = plans.answer("is Basic cheaper than Travel")
    assert found is not None
    assert found.source == "graph.yaml#basic+travel"
    assert found.relational


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("price: 20", "price: twenty", "entity 'basic': 'price' is 'twenty'; give a number"),
        ("price: 20", "prize: 20", "'prize' is no property and no relation"),
        ("contract: no", "contract: 3", "'contract' is 3; give yes or no"),
        ("type: plan\n    names: [Basic,", "type: pan\n    names: [Basic,", "type 'pan' does not exist"),
        ("includes: [roaming, voicemail]", "includes: [romaing]", "entity 'romaing' does not exist"),
        ("includes: [roaming, voicemail]", "includes: [basic]", "'basic' is a plan, but 'includes' leads to service"),
        ("names: [Travel, Travel plan]", "names: [Basic]", "'Basic' is a name of 'basic', too"),
        ('say: "{name} costs {value} a month."', 'say: "{name} costs {price}."', "'{price}' cannot be filled here"),
        ("of: [plan]        ", "of: [phone]", "type 'phone' does not exist"),
        ("currency: USD", "curency: USD", "unknown key 'properties.price.curency'"),
        ("    currency: USD                       # money only\n", "", "a money property needs 'currency'"),
        ("  includes:\n    from", "  price:\n    from", "'price' is a relation, too"),
        ("from: plan", "from: plane", "type 'plane' does not exist"),
        ("ignore: [month, monthly]", "language: xx", "'xx' is not spoken here"),
    ],
)  # fmt: skip
def test_refuses_a_graph_that_cannot_answer(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in shown()
    path = tmp_path / "graph.yaml"
    path.write_text(shown().replace(old, new, 1), encoding="utf-8")
    problems: list[str] = []
    assert read_graph(path, problems) is None
    assert any(problem in line for line in problems), problems
    assert all(re.match(rf"{re.escape(str(path))}:\d+: ", line) for line in problems)


def test_a_domain_needs_no_graph(tmp_path: Path) -> None:
    problems: list[str] = []
    assert read_graph(tmp_path / "graph.yaml", problems) is None
    assert not problems
