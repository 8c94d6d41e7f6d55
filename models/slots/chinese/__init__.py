"""The slot parsers for Chinese text: the same types and options as for English, another way of saying them."""
