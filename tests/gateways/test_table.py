"""The pages of the gateways: the table is made from the code, and every gateway is described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config import HOME, PREFIX
from agent.gateways import table
from agent.gateways.catalogue import gateways

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
