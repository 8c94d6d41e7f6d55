"""What a question asks of a graph: its mentions put in relation to one kind of things."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agent.dialogue.knowledge.graph.mentions import Lexicon, Mention
from agent.dialogue.knowledge.graph.model import Bound, Graph
from agent.dialogue.knowledge.terms import pieces

_YES_NO = frozenset(
    "is are does do can will has have would could isnt arent doesnt dont cant wont was were am did should".split()
)
_OPEN = frozenset("which what whats how who whose where when why".split())
_LEAD = frozenset("and so ok okay um er but well then hey hi hello yes no right please now also".split())
_YES_NO_ZH = re.compile(r"吗[？?。]*$|是不是|有没有|能不能|会不会|可不可以")
_GENERAL = frozenset("the your all these those they both my".split())
_LISTING = re.compile(
    r"\b(which|what|list|sell|carry|offer|kinds?|types?|you have|have you|got any)\b|哪|什么|你们有|介绍", re.IGNORECASE
)
_OTHERS = re.compile(r"\b(which|any|other|another|who)\b|哪|别的|其他", re.IGNORECASE)
_DEFINITE = frozenset({"the", "that", "this", "这", "那", "个", "款"})
_TWO = frozenset({"two", "2", "两", "二"})


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on things. key: a property, or a relation with the target `value`."""

    key: str
    value: Decimal | bool | str
    bound: Bound = "exactly"
    negated: bool = False


@dataclass(slots=True)
class Wish:
    """A question, read. kind: the type asked for; subjects: things of that type that are named.

    asked: properties whose value is wanted; extremes: (property, "least" or "most"); targets: things named that have
    something to do with the type; named_kind: the type itself was said; yes_no: yes or no is expected; others: things
    beside those spoken of before are meant; listing: it has the form of a question for all of them; general: "are the
    tents ..."; definite: "the tent", which may be the one spoken of; related: a relation was said in so many words.
    """

    kind: str
    subjects: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    extremes: list[tuple[str, str]] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    targets: list[Filter] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)
    named_kind: bool = False
    comparing: bool = False
    pronoun: bool = False
    yes_no: bool = False
    others: bool = False
    listing: bool = False
    general: bool = False
    definite: bool = False
    related: bool = False


def read_wish(graph: Graph, lexicon: Lexicon, question: str, about: Sequence[str]) -> Wish | None:
    """What `question` asks; None where a word of it means nothing here, or its parts do not fit one kind of things.

    about: the things spoken of before.
    """
    groups, left = lexicon.mentions(question)
    kind = _kind(graph, groups, {graph.entities[name].type for name in about})
    if kind is None:
        return None
    if left and not (len(left) == 1 and left[0] in _TWO and len(graph.of_type(kind)) == 2):
        return None
    wish = Wish(kind)
    raw = [piece for piece in pieces(question) if piece not in _LEAD]
    wish.yes_no = (bool(raw) and raw[0] in _YES_NO and not _OPEN & set(raw)) or bool(_YES_NO_ZH.search(question))
    wish.general = len(raw) > 1 and raw[0] in _YES_NO and raw[1] in _GENERAL
    wish.others = _OTHERS.search(question) is not None
    wish.listing = _LISTING.search(question) is not None
    everything = pieces(question)
    wish.definite = any(
        mention.sort == "type" and mention.key == kind and everything[mention.start - 1] in _DEFINITE
        for group in groups
        for mention in group
        if mention.start > 0
    )
    return wish if _collect(graph, groups, wish) else None


def _reachable(graph: Graph, kind: str) -> dict[str, list[str]]:
    """Types that relations from `kind` lead to, and by which relations."""
    found: dict[str, list[str]] = {}
    for name, relation in graph.relations.items():
        if relation.from_ == kind and relation.to != kind:
            found.setdefault(relation.to, []).append(name)
    return found


def _fits(graph: Graph, mention: Mention, kind: str) -> bool:
    """Whether a mention can belong to a question about things of type `kind`."""
    reachable = _reachable(graph, kind)
    match mention.sort:
        case "type":
            return mention.key == kind or mention.key in reachable
        case "entity":
            of = graph.entities[mention.key].type
            return of == kind or of in reachable
        case "relation":
            return graph.relations[mention.key].from_ == kind
        case "property" | "least" | "most" | "zero" | "value":
            return kind in graph.properties[mention.key].of
        case "number":
            return not mention.key or kind in graph.properties[mention.key].of
        case _:
            return True


def _kind(graph: Graph, groups: Sequence[Sequence[Mention]], before: set[str]) -> str | None:
    """The one type that every mention fits; one that is named goes before one that only its properties suggest."""
    fitting = [
        kind for kind in graph.types if all(any(_fits(graph, mention, kind) for mention in group) for group in groups)
    ]
    everything = [mention for group in groups for mention in group]
    named = {mention.key for mention in everything if mention.sort == "type"} | {
        graph.entities[mention.key].type for mention in everything if mention.sort == "entity"
    }
    strong = [kind for kind in fitting if kind in named]
    if len(strong) > 1:
        strong = [kind for kind in strong if set(_reachable(graph, kind)) & set(strong)] or strong
    if len(strong) == 1:
        return strong[0]
    if strong:
        return None
    by_relation = {graph.relations[mention.key].from_ for mention in everything if mention.sort == "relation"}
    for choice in (by_relation, before):
        likely = [kind for kind in fitting if kind in choice]
        if len(likely) == 1:
            return likely[0]
    return None


def _collect(graph: Graph, groups: Sequence[Sequence[Mention]], wish: Wish) -> bool:
    """Sort the mentions into `wish`; False where one stays without a place."""
    weak: list[str] = []
    bounds: list[Mention] = []
    targets: list[tuple[str, bool]] = []
    negating = False
    for place, group in enumerate(groups):
        mention = _meaning(graph, group, wish.kind)
        if mention is None:
            return False
        negated = negating and mention.sort in ("property", "zero", "entity", "value")
        if negating and mention.sort in ("least", "most", "number"):
            return False
        negating = negating and not negated
        match mention.sort:
            case "no":
                negating = place + 1 < len(groups)
            case "entity" if graph.entities[mention.key].type == wish.kind:
                if mention.key not in wish.subjects:
                    wish.subjects.append(mention.key)
                negating = negating or negated
            case "entity":
                targets.append((mention.key, negated))
            case "type":
                wish.named_kind = wish.named_kind or mention.key == wish.kind
            case "relation":
                wish.relations.append(mention.key)
                wish.related = wish.related or not mention.weak
            case "least" | "most":
                wish.extremes.append((mention.key, mention.sort))
            case "zero":
                wish.filters.append(Filter(mention.key, Decimal(0), negated=negated))
            case "value":
                wish.filters.append(Filter(mention.key, mention.value, negated=negated))
            case "number":
                bounds.append(mention)
            case "property" if negated and graph.properties[mention.key].kind == "yes_no":
                wish.filters.append(Filter(mention.key, False))
            case "property" if negated and graph.properties[mention.key].kind in ("money", "number"):
                wish.filters.append(Filter(mention.key, Decimal(0)))
            case "property":
                (weak if mention.weak else wish.asked).append(mention.key)
            case "compare":
                wish.comparing = True
            case "pronoun":
                wish.pronoun = True
    if negating:
        return False
    for target, negated in targets:
        by = _reachable(graph, wish.kind)[graph.entities[target].type]
        relations = [name for name in by if name in wish.relations] or by
        if len(relations) > 1:
            return False
        wish.targets.append(Filter(relations[0], target, negated=negated))
    if not (wish.asked or wish.extremes or wish.filters):
        wish.asked = list(dict.fromkeys(weak))
    wished = {condition.key for condition in wish.filters if isinstance(condition.value, str)}
    wish.asked = [key for key in dict.fromkeys(wish.asked) if key not in wished]
    return all(_bound(graph, mention, wish, weak) for mention in bounds)


def _meaning(graph: Graph, group: Sequence[Mention], kind: str) -> Mention | None:
    """The one meaning of a group for things of type `kind`; None where several remain."""
    fitting = [mention for mention in group if _fits(graph, mention, kind)]
    own = [m for m in fitting if m.sort == "entity" and graph.entities[m.key].type == kind]
    for sort in ("entity", "number", "least", "most", "zero", "property", "value", "relation", "type"):
        same = own if sort == "entity" and own else [mention for mention in fitting if mention.sort == sort]
        if same:
            return same[0] if len(same) == 1 else None
    return fitting[0] if fitting else None


def _bound(graph: Graph, mention: Mention, wish: Wish, weak: list[str]) -> bool:
    """Add the filter of a number to `wish`; a number without a unit belongs to the one property that was named."""
    key = mention.key
    if not key:
        numeric = [name for name in (*wish.asked, *weak) if graph.properties[name].kind in ("money", "number")]
        if len(set(numeric)) != 1:
            return False
        key = numeric[0]
    if mention.number is None:
        return False
    wish.filters.append(Filter(key, mention.number, mention.bound or graph.properties[key].wanted))
    wish.asked = [name for name in wish.asked if name != key]
    return True
