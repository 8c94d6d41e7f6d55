"""Sections of HTML: what stands under each heading, without scripts, styles and what leads around the site."""

from __future__ import annotations

from html.parser import HTMLParser

from agent.dialogue.knowledge.reading.drafts import Draft, one_line

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "dt", "summary"})
_DROPPED = frozenset(
    "script style nav header footer noscript template aside form button svg iframe select head object canvas".split()
)
_BLOCKS = frozenset("p div li ul ol tr table br dd section article main blockquote pre hr details body".split())
_CELLS = frozenset({"td", "th"})


def read_html(text: str) -> list[Draft]:
    """Drafts of the sections of a page; what stands before the first heading has an empty one."""
    parser = _Page()
    parser.feed(text)
    parser.close()
    parser.end_section()
    return parser.found


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Draft] = []
        self._dropped: list[str] = []
        self._in_heading = False
        self._heading: list[str] = []
        self._body: list[str] = []
        self._at = 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin leaving out, or a section, or a new line."""
        if tag in _DROPPED:
            self._dropped.append(tag)
        elif self._dropped:
            return
        elif tag in _HEADINGS:
            self.end_section()
            self._in_heading, self._at = True, self.getpos()[0]
        elif tag in _BLOCKS:
            self._break()
        elif tag in _CELLS:
            self._body.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """End what the tag began."""
        if tag in self._dropped:
            while self._dropped.pop() != tag:
                pass
        elif self._dropped:
            return
        elif tag in _HEADINGS:
            self._in_heading = False
        elif tag in _BLOCKS:
            self._break()
        elif tag in _CELLS:
            self._body.append(", ")

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if not self._dropped:
            (self._heading if self._in_heading else self._body).append(data)

    def end_section(self) -> None:
        """Close the section that is open."""
        text = _joined("".join(self._body))
        heading = one_line("".join(self._heading))
        if heading or text:
            self.found.append(Draft(heading, text, str(self._at)))
        self._heading, self._body, self._in_heading = [], [], False

    def _break(self) -> None:
        (self._heading if self._in_heading else self._body).append("\n")


def _joined(text: str) -> str:
    """Lines as sentences: each that does not end as one gets a full stop."""
    lines = [one_line(line).strip(" ,") for line in text.split("\n")]
    return " ".join(line if line[-1] in ".!?:;,。！？" else f"{line}." for line in lines if line)
