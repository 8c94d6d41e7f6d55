"""Counts as they are spoken."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """ "no book", "one book", "2 books"; "class" gets "classes"."""
    many = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return {0: f"no {thing}", 1: f"one {thing}"}.get(count, f"{count} {many}")
