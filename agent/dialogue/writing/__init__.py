"""A language model in the dialogue: it words what is known, and everything it says is checked first."""
