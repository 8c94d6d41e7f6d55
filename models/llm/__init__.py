"""Language models behind one interface: OpenAI-compatible HTTP, transformers on this machine, or none."""
