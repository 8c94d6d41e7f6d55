"""Demo businesses: a real SQLite database and the actions on it, one package a domain."""
