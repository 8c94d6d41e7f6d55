"""What the agent knows: sections of files, found by words and meaning, and answered out of."""

from agent.dialogue.knowledge.base import Found, KnowledgeBase
from agent.dialogue.knowledge.reading.folder import read_sections

__all__ = ["Found", "KnowledgeBase", "read_sections"]
