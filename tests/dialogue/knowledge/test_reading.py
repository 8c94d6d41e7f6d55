"""Files of every kind into sections, and the files that are refused."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfWriter

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge import read_sections
from agent.dialogue.knowledge.reading import folder as folders
from agent.dialogue.knowledge.reading.folder import MOST_BYTES, read_file, split

Read = Callable[[str, str | bytes], tuple[list[Fact], list[str]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads one file: its sections and problems, the problems without the folder."""

    def reads(name: str, content: str | bytes) -> tuple[list[Fact], list[str]]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        problems: list[str] = []
        facts = read_file(path, problems)
        return facts, [problem.replace(f"{tmp_path}/", "") for problem in problems]

    return reads


def test_markdown(read: Read) -> None:
    text = "# Fees\n\n## What's the *fee*?\n> how much is it\n> price\nIt is **$5** a\nmonth. See [the list](http://x.example).\n\n### Late?\n- Pay `now`.\n"
    facts, problems = read("fees.md", text)
    assert not problems
    assert facts == [
        Fact("fees.md#what-s-the-fee", "What's the *fee*?", "It is $5 a month. See the list.", ("how much is it", "price")),
        Fact("fees.md#late", "Late?", "Pay now."),
    ]  # fmt: skip


def test_plain_text(read: Read) -> None:
    text = "Parking\nThere are 12 places behind the house.\nThey are free.\n\nWe close at noon on Fridays. Come early.\n\nOpening times\n\nNine to five.\n"
    facts, problems = read("house.txt", text)
    assert not problems
    assert [(fact.heading, fact.text) for fact in facts] == [
        ("Parking", "There are 12 places behind the house. They are free."),
        ("We close at noon on Fridays.", "We close at noon on Fridays. Come early."),
        ("Opening times", "Nine to five."),
    ]


def test_html_without_what_surrounds_it(read: Read) -> None:
    page = """<html><head><title>t</title><style>p {color: red}</style><script>var a = "<h2>no</h2>";</script></head>
    <body><nav><h2>Menu</h2><a href=/>Home</a></nav><header>Top</header>
    <h2>Do you deliver?</h2><p>Yes, we <b>deliver</b> &amp; install.</p><ul><li>Monday</li><li>Friday</li></ul>
    <dl><dt>What is it?</dt><dd>A thing.</dd></dl><table><tr><th>Size</th><td>Big</td></tr></table>
    <footer><h3>Imprint</h3>Someone</footer></body></html>"""
    facts, problems = read("page.html", page)
    assert not problems
    assert [(fact.heading, fact.text) for fact in facts] == [
        ("Do you deliver?", "Yes, we deliver & install. Monday. Friday."),
        ("What is it?", "A thing. Size, Big."),
    ]


def test_table_of_questions(read: Read) -> None:
    facts, problems = read("faq.csv", 'Question,Answer,Questions\n"How much, roughly?",Five.,price|what does it cost\n')
    assert not problems
    assert facts == [Fact("faq.csv#how-much-roughly", "How much, roughly?", "Five.", ("price", "what does it cost"))]


def test_any_other_table(read: Read) -> None:
    facts, problems = read("list.csv", "item;price;color\nMug;$12;green\n\nCup;$9;\n")
    assert not problems
    assert [(fact.source, fact.text) for fact in facts] == [
        ("list.csv#mug", "Mug: price $12, color green."),
        ("list.csv#cup", "Cup: price $9."),
    ]


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF whose pages show `pages`, a line each."""
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for text in pages:
        shown = "".join(f"1 0 0 1 72 {720 - 20 * n} Tm ({line}) Tj " for n, line in enumerate(text.split("\n")))
        stream = f"BT /F1 12 Tf {shown}ET"
        objects.append(f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream")
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {len(objects)} 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>"
    out, places = "%PDF-1.4\n", []
    for n, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{n} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    plain = f"{out}trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n".encode()
    if password is None:
        return plain
    writer, found = PdfWriter(clone_from=BytesIO(plain)), BytesIO()
    writer.encrypt(password, algorithm="RC4-128")
    writer.write(found)
    return found.getvalue()


def test_pdf(read: Read) -> None:
    facts, problems = read(
        "book.pdf", pdf("Opening times\nWe open at nine and close\nat five on all days.", "Page two says this.")
    )
    assert not problems
    assert [(fact.source, fact.heading, fact.text) for fact in facts] == [
        ("book.pdf#opening-times", "Opening times", "We open at nine and close at five on all days."),
        ("book.pdf#page-two-says-this", "Page two says this.", "Page two says this."),
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.md", "## What?\n> this\n", "a.md:1: section 'What?' says nothing"),
        ("a.md", "# A\n\nSome text.\n## B\nb\n", "a.md:1: this text stands under no heading"),
        ("a.md", "## B\nb\n## b!\nc\n", "a.md:3: 'b!' is there twice"),
        ("a.md", "", "a.md: holds no section; write '## A question'"),
        ("a.md", b"## A\nb\nc\xff\n", "a.md:3: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a.txt", "a\n\0b", "a.txt:2: holds a NUL byte"),
        ("a.csv", "one\n1\n", "a.csv:1: the first row names 1 column(s)"),
        ("a.csv", "a,b\n1,2,3\n", "a.csv:2: the row has 3 cells, but 2 columns are named"),
        ("a.csv", "question,answer\nwhat?,\n", "a.csv:2: section 'what?' says nothing"),
        ("a.html", "<script>var x = 1</script>", "a.html: holds no section"),
        ("a.docx", "x", "a.docx: files of this kind are not read; give one of .md, .txt"),
        ("a.pdf", b"%PDF-1.4 rubbish", "a.pdf: is no PDF that can be read"),
        ("a.pdf", pdf(""), "a.pdf: holds no text; a scan must"),
        ("a.pdf", pdf("Secret", password="x"), "a.pdf: is encrypted; save it without a password"),
        ("a.pdf", pdf("Page one.")[:-200], "a.pdf: is no PDF that can be read"),
    ],
)  # fmt: skip
def test_refuses_what_cannot_be_read(read: Read, name: str, content: str | bytes, problem: str) -> None:
    _, problems = read(name, content)
    assert len(problems) == 1
    assert problem in problems[0]


def test_refuses_a_large_file_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.txt"
    with path.open("wb") as file:
        file.truncate(50_000_000)

    def opened(self: Path) -> bytes:
        raise AssertionError(f"{self} was opened")

    monkeypatch.setattr(Path, "read_bytes", opened)
    problems: list[str] = []
    assert read_sections(tmp_path, problems) == []
    assert problems == [
        f"{path}: has 50.0 MB, but at most {MOST_BYTES // 10**6} MB are read; split it, or leave out what callers do not ask"
    ]


def test_refuses_too_many_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_SECTIONS", 3)
    (tmp_path / "a.txt").write_text("\n\n".join(f"Paragraph {n} is here." for n in range(5)))
    problems: list[str] = []
    read_sections(tmp_path, problems)
    assert problems == [f"{tmp_path / 'a.txt'}: makes more than 3 sections; leave some files out"]


def test_long_sections_are_split_at_sentences() -> None:
    sentences = [f"This is sentence number {n} and it has exactly twelve words." for n in range(20)]
    parts = split(" ".join(sentences))
    assert " ".join(parts) == " ".join(sentences)
    assert len(parts) == 3
    assert all(part.endswith("words.") for part in parts)
    assert (
        split("一二三四五六七八九。" * 30) == ["一二三四五六七八九。" * 30]
        or len(split("一二三四五六七八九。" * 30)) > 1
    )


def test_parts_of_a_section_have_sources_of_their_own(read: Read) -> None:
    facts, _ = read("a.md", "## Long?\n" + "Word word word word word word word word word word. " * 15)
    assert [fact.source for fact in facts] == ["a.md#long", "a.md#long-part-2"]


def test_chinese_headings_name_their_sections(read: Read) -> None:
    facts, problems = read("faq.md", "## 月费是多少？\n> 要多少钱\n每月30元。\n")
    assert not problems
    assert facts[0].source == "faq.md#月费是多少"


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".adding-x").write_bytes(b"\xff")
    (tmp_path / "a.md").write_text("## A\nb\n")
    problems: list[str] = []
    assert [fact.source for fact in read_sections(tmp_path, problems)] == ["a.md#a"]
    assert not problems
