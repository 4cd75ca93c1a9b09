"""Edits that remove a chosen piece of knowledge: cases, benches, and the table of methods."""
