"""Written English as it is said: numbers, money, dates, order numbers, addresses, and where sentences end."""

from models.speakable.sentences import sentences
from models.speakable.spoken import SpokenText, speakable

__all__ = ["SpokenText", "sentences", "speakable"]
