"""The pages of the gateways: the table is made from the code, and every gateway is described."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent.config import HOME, PREFIX, load_settings
from agent.gateways import table
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import HookRequest
from agent.gateways.jambonz_app import connected
from agent.reference import settings_reference

START, END = "<!-- made by `agent gateways --markdown` -->\n", "<!-- end -->"
DOCS = HOME / "docs"
PAGES = [
    HOME / "README.md",
    HOME / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "gateways").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def page_of(name: str) -> Path:
    return DOCS / "protocol.md" if name == "plain" else DOCS / "gateways" / f"{name}.md"


def anchors(text: str) -> set[str]:
    titles = (
        re.sub(r"[^\w\- ]", "", title.strip().lower())
        for title in HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    )
    return {title.replace(" ", "-") for title in titles}


def test_the_documented_table_is_the_current_one() -> None:
    text = (DOCS / "gateways.md").read_text(encoding="utf-8")
    _, start, rest = text.partition(START)
    documented, end, _ = rest.partition(END)
    assert (start, end) == (START, END), "docs/gateways.md has lost the comments around its table"
    assert documented.strip() == table.markdown().strip(), (
        "docs/gateways.md is out of step; put the output of `agent gateways --markdown` between its comments"
    )


@pytest.mark.parametrize("name", gateways())
def test_every_gateway_has_a_page_that_says_what_its_user_needs(name: str) -> None:
    text = page_of(name).read_text(encoding="utf-8")
    assert f"/gateways/{name}" in text, "the page does not say its address"
    assert f"{PREFIX}KEY_{name.upper().replace('-', '_')}" in text, "the page does not say which variable holds its key"
    assert re.search(r"\*\*Not run", text), "the page does not say what was not run"


def answered(name: str, form: dict[str, str]) -> str:
    """What this server answers to the vendor that asks, as a page shows it."""
    hook = gateways()[name].hook
    assert hook is not None
    base = f"calls.example.com/gateways/{name}"
    asked = HookRequest(f"https://{base}/voice", "POST", {}, form)
    return hook.connect(asked, f"wss://{base}/TOKEN", f"https://{base}/after", {})


def shape(element: ElementTree.Element) -> tuple[object, ...]:
    parameters = element.tag in ("Parameter", "StreamParam")
    attributes = {} if parameters else {k: v for k, v in element.attrib.items() if k != "extraHeaders"}
    inside = [shape(child) for child in element if child.attrib.get("name") not in ("caller", "called")]
    return element.tag, tuple(sorted(attributes.items())), (element.text or "").strip(), tuple(inside)


@pytest.mark.parametrize("name", ["signalwire", "telnyx", "plivo", "bandwidth", "twilio-relay", "telnyx-relay"])
def test_the_script_on_a_page_is_the_one_that_is_answered(name: str) -> None:
    found = re.search(r"```xml\n(.*?)```", page_of(name).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, "the page shows no answer"
    form = {"From": "+15550100", "To": "+15550199", "from": "+15550100", "to": "+15550199"}
    assert shape(ElementTree.fromstring(found[1])) == shape(ElementTree.fromstring(answered(name, form)))


def test_the_ncco_on_the_page_is_the_one_that_is_answered() -> None:
    found = re.search(r"```json\n(.*?)```", page_of("vonage").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, "the page shows no answer"
    form = {"uuid": "63f61863-...", "from": "15550100", "to": "15550199"}
    assert json.loads(found[1]) == json.loads(answered("vonage", form))


def test_the_verbs_on_the_page_are_those_that_jambonz_gets() -> None:
    found = re.search(r"```json\n(.*?)```", page_of("jambonz").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, "the page shows no answer"
    assert json.loads(found[1]) == connected("wss://calls.example.com/gateways/jambonz/TOKEN", answer=True)


@pytest.mark.parametrize("name", gateways())
def test_settings_and_variables_on_a_page_exist(name: str, tmp_path: Path) -> None:
    text = page_of(name).read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        load_settings(path, {})
    for setting in re.findall(r"`(?:gateways\.[a-z-]+|audiosocket|server|handoff)\.[a-z_]+`", text):
        *section, key = setting.strip("`").split(".")
        assert key in (row.key for row in settings_reference() if row.section.startswith(section[0])), setting
    for variable in re.findall(rf"`({PREFIX}[A-Z_]+)`", text):
        load_settings(None, {variable: "a-long-enough-secret"})


def test_every_page_of_a_gateway_belongs_to_one() -> None:
    assert {path.stem for path in (DOCS / "gateways").glob("*.md")} == set(gateways()) - {"plain"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    astray = []
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            astray.append(link)
    assert astray == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_pages_name_no_address_or_setting_that_is_gone(page: Path) -> None:
    gone = re.compile(
        r"docs/twilio\.md|(?<!gateways)/twilio/(?:voice|after)|gateways/twilio/stream|greeting_parameters"
    )
    renamed = re.compile(
        r"(?<!gateways\.)(?<!gateways/)\b(?:twilio|plain)\.(?:account_sid|account|number|parameters|enabled)\b"
    )
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        text = re.sub(r"^- Renamed:.*?(?=^- |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    assert [found[0] for pattern in (gone, renamed) for found in pattern.finditer(text)] == []
