"""Answers of a graph: comparisons, superlatives, wishes, values and relations, or none where it is not sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.dialogue.knowledge.graph.mentions import Lexicon
from agent.dialogue.knowledge.graph.model import Entity, Graph
from agent.dialogue.knowledge.graph.wish import Filter, Wish, read_wish
from agent.dialogue.knowledge.graph.wording import Wording

MOST_NAMED = 5
"""Things that are told in one answer; more cannot be kept in mind."""
MOST_TOLD = 2
"""Things of which single values are told in one answer."""


@dataclass(frozen=True, slots=True)
class GraphAnswer:
    """What a graph says. relational: it compares, selects or relates, which sections of text cannot."""

    text: str
    entities: tuple[str, ...]
    relational: bool

    @property
    def source(self) -> str:
        """Where the answer stands: `graph.yaml#ENTITY`, several joined by `+`."""
        return f"graph.yaml#{'+'.join(self.entities)}"


class GraphReader:
    """Answers questions out of one graph. Pure, and quick enough for the event loop."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._lexicon = Lexicon(graph)
        self._say = Wording(graph)

    def entities_in(self, text: str) -> list[str]:
        """The entities that a text mentions."""
        return self._lexicon.entities_in(text)

    def answer(self, question: str, about: Sequence[str] = ()) -> GraphAnswer | None:
        """The answer to `question`, or None where the graph is not sure of it.

        about: the entities spoken of before, which "it" and "the cheaper one" mean.
        """
        wish = read_wish(self.graph, self._lexicon, question, [name for name in about if name in self.graph.entities])
        if wish is None:
            return None
        before = [name for name in about if name in self.graph.entities and self.graph.entities[name].type == wish.kind]
        among = self._subjects(wish, before)
        if among is None:
            return None
        return self._of_named(wish, among) if wish.subjects else self._of_kind(wish, among)

    def _subjects(self, wish: Wish, before: Sequence[str]) -> list[Entity] | None:
        """The things a question is about: named, spoken of before (which then count as named), or all of the kind."""
        graph = self.graph
        if wish.subjects:
            if len(wish.subjects) == 1 and len(before) == 1 and wish.extremes and before != wish.subjects:
                wish.subjects = [*before, *wish.subjects] if wish.pronoun else [*wish.subjects, *before]
            return [graph.entities[name] for name in wish.subjects]
        pool = graph.of_type(wish.kind)
        if before and not wish.named_kind:
            if len(before) > 1 or not (wish.extremes or (wish.others and (wish.filters or wish.targets))):
                wish.subjects = list(before)
                return [graph.entities[name] for name in before]
            return pool
        if len(before) == 1 and wish.definite and not wish.others and not wish.extremes:
            wish.subjects = list(before)
            return [graph.entities[before[0]]]
        if len(pool) == 1 and wish.named_kind and (wish.definite or not wish.listing):
            wish.subjects = [pool[0].name]
        return pool if wish.named_kind or (wish.related and wish.targets) else None

    def _of_named(self, wish: Wish, named: list[Entity]) -> GraphAnswer | None:
        if len(named) > 2 or (len(named) == 2 and (wish.targets or wish.relations)):
            return None
        if len(named) == 2:
            return self._of_two(wish, named[0], named[1])
        one, say = named[0], self._say
        said: list[str] = []
        relational = bool(wish.targets or wish.relations)
        for key, direction in wish.extremes:
            winners = self._winners(self.graph.of_type(wish.kind), key, direction)
            if winners is None or len(winners) > 1 or wish.filters:
                return None
            said += [say.yes(winners[0] == one), say.best(winners[0], key, direction)]
            relational = True
        for condition in wish.filters:
            holds = self._holds(one, condition)
            if holds is None:
                return None
            if isinstance(condition.value, bool):
                said.append(say.tell(one, condition.key))
            else:
                said += [say.yes(holds), say.tell(one, condition.key)]
        for target in wish.targets:
            said.append(say.has(one, target.key, str(target.value)))
        for key in wish.asked:
            if key not in one.values:
                return None
            said.append(say.tell(one, key))
        if not said:
            for relation in dict.fromkeys(wish.relations):
                if not one.links.get(relation):
                    return None
                said.append(say.linked(one, relation))
        if not said or len(said) > 3:
            return None
        return GraphAnswer(say.join(said), (one.name,), relational)

    def _of_two(self, wish: Wish, one: Entity, other: Entity) -> GraphAnswer | None:
        say, names = self._say, (one.name, other.name)
        if wish.extremes and not wish.filters:
            key, direction = wish.extremes[0]
            better = self._winners([one, other], key, direction)
            if better is None or len(wish.extremes) > 1:
                return None
            first, second = (other, one) if better == [other] else (one, other)
            if wish.yes_no and not wish.others:
                return GraphAnswer(say.join([say.yes(better == [one]), say.compare(one, other, key)]), names, True)
            return GraphAnswer(say.compare(first, second, key), names, True)
        if wish.filters:
            keys = [condition.key for condition in wish.filters]
        elif wish.asked:
            keys = wish.asked
        elif wish.comparing:
            properties = self.graph.properties
            keys = [key for key, spec in properties.items() if spec.compare and _differ(one, other, key)][:MOST_TOLD]
        else:
            keys = []
        if not keys or len(keys) > MOST_TOLD or any(key not in e.values for key in keys for e in (one, other)):
            return None
        return GraphAnswer(say.join([say.compare(one, other, key) for key in keys]), names, True)

    def _of_kind(self, wish: Wish, pool: list[Entity]) -> GraphAnswer | None:
        say = self._say
        conditions = [*wish.filters, *wish.targets]
        asked = list(wish.asked)
        yes_no = [key for key in asked if self.graph.properties[key].kind == "yes_no"]
        if not (wish.general and len(pool) <= MOST_TOLD):
            conditions += [Filter(key, True) for key in yes_no]
            asked = [key for key in asked if key not in yes_no]
        fitting = [entity for entity in pool if all(self._holds(entity, condition) for condition in conditions)]
        if wish.extremes:
            return self._extreme(wish, fitting)
        if asked:
            told = bool(fitting) and len(fitting) <= MOST_TOLD and len(asked) == 1
            if not told or any(asked[0] not in entity.values for entity in fitting):
                return None
            text = say.join([say.tell(entity, asked[0]) for entity in fitting])
            return GraphAnswer(text, tuple(entity.name for entity in fitting), bool(conditions) or len(fitting) > 1)
        if conditions:
            return self._selected(wish, fitting, conditions)
        if wish.comparing and len(pool) == 2:
            return self._of_two(wish, pool[0], pool[1])
        spec = self.graph.types[wish.kind]
        plain = wish.named_kind and wish.listing and not (wish.related or wish.comparing or wish.pronoun)
        if not plain or spec.list is None or len(pool) > MOST_NAMED:
            return None
        text = say.fill(spec.list, names=say.names([entity.say for entity in pool]))
        return GraphAnswer(text, tuple(entity.name for entity in pool), True)

    def _selected(self, wish: Wish, fitting: list[Entity], conditions: Sequence[Filter]) -> GraphAnswer | None:
        say = self._say
        if len(fitting) > MOST_NAMED:
            return None
        if not fitting:
            none = self.graph.types[wish.kind].none
            known = all(self._known(wish.kind, condition) for condition in conditions)
            return GraphAnswer(none, (wish.kind,), True) if none and known else None
        text = say.those(fitting)
        if wish.yes_no:
            text = say.join([say.yes(True), text])
        return GraphAnswer(text, tuple(entity.name for entity in fitting), True)

    def _extreme(self, wish: Wish, fitting: list[Entity]) -> GraphAnswer | None:
        if len(wish.extremes) > 1 or wish.asked or not fitting:
            return None
        key, direction = wish.extremes[0]
        winners = self._winners(fitting, key, direction)
        if winners is None or len(winners) > MOST_TOLD:
            return None
        if len(winners) == 1:
            text = self._say.best(winners[0], key, direction)
        else:
            text = self._say.join([self._say.tell(entity, key) for entity in winners])
        return GraphAnswer(text, tuple(entity.name for entity in winners), True)

    def _winners(self, entities: Sequence[Entity], key: str, direction: str) -> list[Entity] | None:
        """Those with the smallest or largest value; None where one of them has no known value."""
        values = [entity.values.get(key) for entity in entities]
        numbers = [value for value in values if isinstance(value, Decimal)]
        if not numbers or len(numbers) < len(values):
            return None
        best = min(numbers) if direction == "least" else max(numbers)
        return [entity for entity, number in zip(entities, numbers, strict=True) if number == best]

    def _holds(self, entity: Entity, condition: Filter) -> bool | None:
        """Whether a condition holds of an entity; None where that is not known."""
        if condition.key in self.graph.relations:
            return (condition.value in entity.links.get(condition.key, ())) != condition.negated
        value = entity.values.get(condition.key)
        if value is None:
            return None
        if isinstance(value, Decimal) and isinstance(condition.value, Decimal):
            over, under = value >= condition.value, value <= condition.value
            return {"at_least": over, "at_most": under, "exactly": over and under}[condition.bound] != condition.negated
        if isinstance(value, tuple):
            return (condition.value in value) != condition.negated
        return (value == condition.value) != condition.negated

    def _known(self, kind: str, condition: Filter) -> bool:
        """Whether it is known of all things of the kind that or that not the condition holds."""
        return all(self._holds(entity, condition) is not None for entity in self.graph.of_type(kind))


def _differ(one: Entity, other: Entity, key: str) -> bool:
    return key in one.values and key in other.values and one.values[key] != other.values[key]
