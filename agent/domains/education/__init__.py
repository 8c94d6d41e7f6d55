"""The demo backend of Rowan Hill University's student services."""
