"""Things, their properties and their relations, and the questions that these answer."""

from agent.dialogue.knowledge.graph.answering import GraphAnswer, GraphReader
from agent.dialogue.knowledge.graph.model import Graph
from agent.dialogue.knowledge.graph.reading import read_graph

__all__ = ["Graph", "GraphAnswer", "GraphReader", "read_graph"]
