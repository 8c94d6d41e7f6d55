"""Things, their properties and their relations, and the questions that these answer."""
