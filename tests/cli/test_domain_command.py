"""`agent domain`: a new domain passes its check and test at once; what is wrong or odd is told with file and line."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from agent.dialogue.loader import load_domain
from agent.lab.authoring.diagram import diagrams
from agent.lab.authoring.examples import examples_in, odd_examples
from agent.lab.authoring.graph import components, rounds, stuck
from agent.lab.authoring.layout import GAP_X, place
from agent.lab.authoring.scaffold import new_domain
from agent.yamlfile import parse_yaml


@pytest.fixture
def domain(agent, tmp_path):
    """A new domain in the current folder; its module has a name of its own, since Python keeps imported modules."""
    name = f"d_{re.sub(r'[^a-z0-9]', '_', tmp_path.name.lower())}"[:40]
    result = agent("domain", "new", name, "--business", "Lakeside Piano: tuning & repair")
    assert result.exit_code == 0, result.stderr
    return tmp_path / name


def edit(path, *pairs):
    text = path.read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


def test_a_new_domain_passes_its_check_and_its_conversations(agent, domain, tmp_path):
    checked = agent("domain", "check", domain.name, "--strict")
    assert checked.exit_code == 0, checked.stdout
    assert "0 errors, 0 warnings; 3 intents, 2 flows, 6 sections of knowledge" in checked.stdout
    edit(domain / "conversations" / "complains.yaml", ('says: "sorry"', 'says: "glad"'))
    (domain / "conversations" / "broken.yaml").write_text("description: x\nturns:\n  - shout: hi\n")
    played = agent("domain", "test", domain.name, "--json", "turns.json")
    assert played.exit_code == 1
    assert "broken.yaml:3: unknown key 'turns.0.shout'" in played.stdout
    assert "1 of 2 conversations" in played.stdout
    assert "not met  the answer lacks “glad”" in played.stdout
    assert "agent  “I'm sorry to hear that." in played.stdout
    results = {row["conversation"]: row for row in json.loads((tmp_path / "turns.json").read_text())[domain.name]}
    assert results["books_a_visit"]["passed"]
    assert results["complains"]["turns"][-1]["hand_off"] == "complaint"


def test_names_that_are_none_and_folders_that_are_there_are_refused(agent, domain):
    assert "is there already" in agent("domain", "new", domain.name).stderr
    assert "is no name for a domain" in agent("domain", "new", "No-Good").stderr
    for command in ("check", "test", "draw"):
        result = agent("domain", command, "nowhere")
        assert result.exit_code == 1
        assert "there is no such domain; name a folder, or one of" in result.stderr
    assert agent("domain", "test", domain.name, "--only", "x*").exit_code == 2


def test_entry_points_are_looked_for_where_the_domain_lies(agent, tmp_path):
    result = agent("domain", "new", "kiosk", "--path", "far/away")
    assert result.exit_code == 0
    assert "python: far.away.kiosk.actions:find_day" in (tmp_path / "far/away/kiosk/domain.yaml").read_text()


WRONG = {
    "domain.yaml": ("actions:book_visit", "actions:book_it", r"domain.yaml:\d+: .*book_it.*module:function"),
    "flows.yaml": ("cases: {booked: done}", "cases: {booked: nowhere}", r"flows.yaml:24: jumps to 'nowhere'"),
    "questions.yaml": (
        "#is-there-parking",
        "#is-there-a-park",
        r"questions.yaml:5: .*there is no section .business.md#is-there-a",
    ),
    "demo.yaml": ("say: sure", "say: shure", r"demo.yaml:\d+: there is no line 'shure'"),
}


@pytest.mark.parametrize("file", WRONG)
def test_what_is_wrong_is_an_error(agent, domain, file):
    before, after, told = WRONG[file]
    edit(domain / file, (before, after))
    result = agent("domain", "check", domain.name, "--no-examples")
    assert result.exit_code == 1
    assert re.search(rf"error +\S*{told}", result.stdout), result.stdout


ODD_FLOWS = """
  lonely:
    title: nothing
    offer: do nothing
    steps:
      - id: top
        say: "{phone}"
      - jump: top
      - say: never said
  odd:
    intents: [odd]
    title: something
    offer: do something
    steps:
      - confirm: Really?
        if_yes: same
        if_no: same
      - id: same
        call: find_day
        arguments: {day: "{day}"}
        into: found
      - branch: found.open
        cases: {"true": told, "maybe": told}
      - id: told
        say: It is {found.tme}.
"""


def test_what_is_odd_is_a_warning(agent, domain):
    edit(
        domain / "flows.yaml", ("      - id: again\n        forget: [day]\n", "      - id: again\n        say: Well.\n")
    )
    with (domain / "flows.yaml").open("a") as file:
        file.write(ODD_FLOWS)
    edit(
        domain / "intents.yaml",
        (
            "out_of_scope:\n",
            "  odd:\n    examples: [odd one, odd two, odd three, odd four, odd five]\nout_of_scope:\n",
        ),
        ("slots:\n  day:", "slots:\n  shoe: {type: text}\n  day:"),
    )
    result = agent("domain", "check", domain.name, "--no-examples")
    assert result.exit_code == 0
    found = [line.split("warning  ")[1] for line in result.stdout.splitlines() if line.startswith("warning")]
    told = "\n".join(line.split("/")[-1] for line in found)
    for pattern in (
        r"flows.yaml:43: nothing opens flow 'lonely'",
        r"flows.yaml:47: flow 'lonely' has no way out from here",
        r"flows.yaml:47: '\{phone\}' has a value only if the caller happens to say it",
        r"flows.yaml:47: steps lonely.1, lonely.2 can go round without waiting",
        r"flows.yaml:50: no step leads here in flow 'lonely'",
        r"flows.yaml:56: yes and no both lead to 'same'",
        r"flows.yaml:64: 'found.open' is never 'maybe', so this never holds; it is one of false, true",
        r"flows.yaml:65: 'found.tme': the result of find_day has no such field; it has day, open, time",
        r"intents.yaml:\d+: slot 'shoe' is never asked for",
    ):
        assert re.search(pattern, told), (pattern, told)
    assert agent("domain", "check", domain.name, "--strict", "--no-examples").exit_code == 1


class Near:
    """Vectors in which texts with the same first letter point the same way."""

    width = 26

    def encode(self, texts):
        rows = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[ord(text[0].lower()) - ord("a")] = 1.0
        return rows


def test_examples_that_look_alike_are_told(tmp_path):
    own = "intents:\n  order: {examples: [a, '[b](x) c', A, d]}\n  odd: {examples: [A a]}\n  deny: {examples: [nope]}\n"
    base = "intents:\n  order: {examples: [hidden]}\n  bye: {examples: [d, e]}\nout_of_scope: {x: [b C, e]}\n"
    files = [parse_yaml(text, tmp_path / f"{name}.yaml") for name, text in (("own", own), ("base", base))]
    examples = examples_in(files)
    assert [row.text for row in examples] == ["a", "b c", "A", "d", "A a", "nope", "d", "e", "b C", "e"]
    told = [line.removeprefix(f"{tmp_path}/") for line in odd_examples(examples, Near())]
    assert told[:3] == [
        "own.yaml:2: “A” stands again at own.yaml:2; remove one",
        "own.yaml:2: “d” stands as bye at base.yaml:3; remove one",
        "own.yaml:2: “b c” stands as out_of_scope at base.yaml:4; remove one",
    ]
    assert "own.yaml:2: “a” (order) is to the encoder the same as “A a” (odd) at own.yaml:3: 1.00" in told[3]
    assert [line.split(";")[0] for line in told[4:]] == [
        "own.yaml:2: intent 'order' has 4 examples",
        "own.yaml:3: intent 'odd' has 1 examples",
    ]


def test_a_loop_that_asks_anew_waits_and_one_that_knows_the_answer_does_not(domain):
    loaded = load_domain(domain)
    assert rounds(loaded) == []
    assert [stuck(flow) for flow in loaded.flows.values()] == [[], []]
    edit(domain / "flows.yaml", ("        forget: [day]\n", "        say: Well.\n"), ("if_no: again", "if_no: full"))
    edit(domain / "flows.yaml", ("        otherwise: full\n", "        otherwise: again\n"))
    assert rounds(load_domain(domain)) == []  # the confirmation waits
    edit(domain / "flows.yaml", ("      - confirm: Shall I book {day|day} at {free.time}?\n        if_no: full\n", ""))
    assert [node for node, *_ in rounds(load_domain(domain))] == [("visit", 0)]


def test_ways_round_are_found_however_they_cross():
    ways = {("a", 0): {("a", 1)}, ("a", 1): {("b", 0), ("a", 0)}, ("b", 0): {("b", 0), ("c", 0)}, ("c", 0): set()}
    assert components(ways) == [{("b", 0)}, {("a", 0), ("a", 1)}]


def test_flows_are_drawn(agent, domain, tmp_path):
    for out in ("flows.svg", "flows.mmd", "flows.dot"):
        assert agent("domain", "draw", domain.name, "--out", out).exit_code == 0
    drawing = ElementTree.parse(tmp_path / "flows.svg")
    shown = " ".join(drawing.getroot().itertext())
    for text in (
        "Which day would suit you?",
        "ask day (checked by find_day)",
        "book_visit → booked",
        "a person",
        "yes",
    ):
        assert text in shown or text == "a person"
    assert (tmp_path / "flows.mmd").read_text() == agent("domain", "draw", domain.name).stdout
    assert '-- "no" -->' in (tmp_path / "flows.mmd").read_text()
    assert '"visit__start" -> "visit__s0"' in (tmp_path / "flows.dot").read_text()
    one = agent("domain", "draw", domain.name, "--flow", "questions").stdout
    assert "answer from the knowledge" in one
    assert "visit" not in one
    assert "there is no flow 'x'" in agent("domain", "draw", domain.name, "--flow", "x").stderr
    assert "end it in .svg" in agent("domain", "draw", domain.name, "--out", "flows.png").stderr


def test_jumps_and_ends_are_drawn_as_arrows(tmp_path):
    loaded = load_domain(new_domain("kiosk", tmp_path))
    (visit,) = diagrams(loaded, ["visit"])
    assert all(box.text for box in visit.boxes)
    ways = {(arrow.source, arrow.label): arrow.target for arrow in visit.arrows}
    names = {box.name: box.text for box in visit.boxes}
    assert names[ways["s2", "no"]] == "forget day"
    assert ways[ways["s2", "no"], ""] == "s0"
    assert [names[ways[source, ""]] for source in ("s5", "s7")] == ["done", "forget day"]


def test_boxes_of_a_layer_do_not_touch_and_arrows_end_at_boxes():
    sizes = {name: (80.0 + 20 * n, 30.0 + 7 * n) for n, name in enumerate("abcdefg")}
    arrows = [
        ("a", "b"),
        ("a", "c"),
        ("a", "d"),
        ("b", "e"),
        ("c", "e"),
        ("d", "g"),
        ("a", "g"),
        ("e", "f"),
        ("f", "a"),
    ]
    found = place(sizes, arrows)
    boxes = [(*found.centres[name], *sizes[name]) for name in sizes]
    for n, (x, y, width, height) in enumerate(boxes):
        assert 0 <= x - width / 2 <= x + width / 2 <= found.width
        assert 0 <= y - height / 2 <= y + height / 2 <= found.height
        for other_x, other_y, other_width, other_height in boxes[n + 1 :]:
            apart = abs(x - other_x) - (width + other_width) / 2, abs(y - other_y) - (height + other_height) / 2
            assert apart[0] >= GAP_X - 1e-6 or apart[1] > 0
    for (source, target), way in zip(arrows, found.ways, strict=True):
        for name, (x, y) in ((source, way[0]), (target, way[-1])):
            assert x == pytest.approx(found.centres[name][0])
            assert abs(y - found.centres[name][1]) == pytest.approx(sizes[name][1] / 2)
