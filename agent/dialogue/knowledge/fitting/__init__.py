"""Fitting what judges answers: `python -m agent.dialogue.knowledge.fitting`. Nothing here runs during calls."""
