"""The sentences of graph answers: templates of graph.yaml filled with values as they are spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from agent.dialogue.knowledge.graph.model import Entity, Graph

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥"}
_UNITS_ZH = {"USD": "美元", "EUR": "欧元", "GBP": "英镑", "CNY": "元"}
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "en": {"one": "That's {name}.", "several": "Those are {names}.", "yes": "Yes.", "no": "No."},
    "zh": {"one": "是{name}。", "several": "有{names}。", "yes": "是的。", "no": "不是。"},
}
"""What is said where graph.yaml does not say otherwise."""


class Wording:
    """Makes the sentences of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._defaults = _DEFAULTS.get(graph.language, _DEFAULTS["en"])

    def fill(self, template: str, **values: str) -> str:
        """`template` with its holes filled, beginning with a capital."""
        for name, value in values.items():
            template = template.replace("{" + name + "}", value)
        return template[:1].upper() + template[1:]

    def join(self, sentences: Sequence[str]) -> str:
        """Sentences in one text, each once."""
        return ("" if self._graph.language == "zh" else " ").join(dict.fromkeys(sentences))

    def names(self, texts: Sequence[str]) -> str:
        """ "a, b and c"."""
        if len(texts) == 1:
            return texts[0]
        if self._graph.language == "zh":
            return f"{'、'.join(texts[:-1])}和{texts[-1]}"
        return f"{', '.join(texts[:-1])} and {texts[-1]}"

    def yes(self, holds: bool) -> str:
        """A plain yes or no."""
        return self._defaults["yes" if holds else "no"]

    def those(self, entities: Sequence[Entity]) -> str:
        """Which things fit."""
        spec = self._graph.types[entities[0].type]
        if len(entities) == 1:
            return self.fill(spec.one or self._defaults["one"], name=entities[0].say)
        return self.fill(spec.several or self._defaults["several"], names=self.names([e.say for e in entities]))

    def value(self, entity: Entity, key: str) -> str:
        """A value as it is spoken."""
        if key in entity.spoken:
            return entity.spoken[key]
        value = entity.values[key]
        if isinstance(value, tuple):
            return self.names(value)
        if not isinstance(value, Decimal):
            return str(value)
        currency = self._graph.properties[key].currency
        if currency is None:
            return f"{value.normalize():f}"
        plain = f"{value:.0f}" if value == value.to_integral_value() else f"{value:.2f}"
        return f"{plain}{_UNITS_ZH[currency]}" if self._graph.language == "zh" else f"{_SIGNS[currency]}{plain}"

    def tell(self, entity: Entity, key: str) -> str:
        """The sentence for a value that the entity has."""
        spec, value = self._graph.properties[key], entity.values[key]
        if spec.kind == "yes_no":
            return self.fill(str(spec.yes if value else spec.no), name=entity.say)
        template = spec.zero.say if value == 0 and spec.zero is not None and spec.zero.say else spec.say
        spoken = self.value(entity, key)
        return self.fill(str(template), name=entity.say, value=spoken, values=spoken)

    def best(self, entity: Entity, key: str, direction: str) -> str:
        """The sentence for whoever has the smallest ("least") or largest ("most") value."""
        spec = self._graph.properties[key]
        extreme = spec.least if direction == "least" else spec.most
        if extreme is None or extreme.say is None or (entity.values[key] == 0 and spec.zero is not None):
            return self.tell(entity, key)
        return self.fill(extreme.say, name=entity.say, value=self.value(entity, key))

    def compare(self, one: Entity, other: Entity, key: str) -> str:
        """What both have of a property."""
        template = self._graph.properties[key].compare
        if template is None:
            return self.join([self.tell(one, key), self.tell(other, key)])
        values = {"value": self.value(one, key), "other_value": self.value(other, key)}
        return self.fill(template, name=one.say, other=other.say, **values)

    def linked(self, entity: Entity, relation: str) -> str:
        """What the entity has by a relation; it has something."""
        targets = [self._graph.entities[target].say for target in entity.links[relation]]
        return self.fill(self._graph.relations[relation].say, name=entity.say, values=self.names(targets))

    def has(self, entity: Entity, relation: str, target: str) -> str:
        """Whether the entity has `target` by a relation."""
        spec = self._graph.relations[relation]
        template = spec.yes if target in entity.links.get(relation, ()) else spec.no
        return self.fill(template, name=entity.say, value=self._graph.entities[target].say)
