"""Sections out of the files of a knowledge folder, one format a file."""
