"""Diagrams as text of other programs: Mermaid and Graphviz."""

from __future__ import annotations

from collections.abc import Sequence

from agent.lab.authoring.diagram import Box, Diagram

_MERMAID = {
    "start": ("([", "])"),
    "ask": ("[/", "/]"),
    "confirm": ("[/", "/]"),
    "call": ("[[", "]]"),
    "branch": ("{{", "}}"),
    "done": ("((", "))"),
    "person": ("([", "])"),
    "hang_up": ("([", "])"),
    "flow": ("[[", "]]"),
}
_DOT = {
    "start": 'shape=box style="rounded,filled" fillcolor="#d7e3f4"',
    "ask": "shape=parallelogram",
    "confirm": "shape=parallelogram",
    "call": "shape=box peripheries=2",
    "branch": "shape=diamond",
    "done": "shape=circle",
    "person": "shape=oval",
    "hang_up": "shape=oval",
    "flow": "shape=box3d",
}


def mermaid(diagrams: Sequence[Diagram]) -> str:
    """A Mermaid flowchart, a subgraph a flow (https://mermaid.js.org/syntax/flowchart.html)."""
    lines = ["flowchart TD"]
    for diagram in diagrams:
        lines.append(f'  subgraph {_id(diagram.name)}["{_mermaid_text(diagram.name)}"]')
        for box in diagram.boxes:
            opening, closing = _MERMAID.get(box.shape, ("[", "]"))
            lines.append(f'    {_id(diagram.name, box.name)}{opening}"{_mermaid_text(_whole(box))}"{closing}')
        for arrow in diagram.arrows:
            when = f'-- "{_mermaid_text(arrow.label)}" -->' if arrow.label else "-->"
            lines.append(f"    {_id(diagram.name, arrow.source)} {when} {_id(diagram.name, arrow.target)}")
        lines.append("  end")
    return "\n".join(lines) + "\n"


def dot(diagrams: Sequence[Diagram]) -> str:
    """A Graphviz digraph, a cluster a flow (https://graphviz.org/doc/info/lang.html)."""
    lines = ["digraph domain {", '  node [shape=box style="rounded" fontname="Helvetica" fontsize=10];']
    for diagram in diagrams:
        lines.append(f"  subgraph {_quoted('cluster_' + diagram.name)} {{ label={_quoted(diagram.name)};")
        for box in diagram.boxes:
            look = _DOT.get(box.shape, "")
            lines.append(f"    {_quoted(_id(diagram.name, box.name))} [label={_quoted(_whole(box))} {look}];")
        for arrow in diagram.arrows:
            ends = f"{_quoted(_id(diagram.name, arrow.source))} -> {_quoted(_id(diagram.name, arrow.target))}"
            lines.append(f"    {ends}{f' [label={_quoted(arrow.label)}]' if arrow.label else ''};")
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _whole(box: Box) -> str:
    return f"{box.head}: {box.text}" if box.head else box.text


def _id(*parts: str) -> str:
    return "__".join("".join(letter if letter.isalnum() else "_" for letter in part) for part in parts)


def _mermaid_text(text: str) -> str:
    """Text inside quotes: Mermaid reads entity codes, `#quot;`."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
