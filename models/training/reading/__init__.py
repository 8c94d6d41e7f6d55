"""Readers of labelled texts, one shape of file each; `models.training.readers` chooses among them."""
