"""Edits that remove a chosen piece of knowledge: cases, benches, the table of methods; clamps, gates, guards, weights."""
