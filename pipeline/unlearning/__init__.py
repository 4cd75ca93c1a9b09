"""Edits that remove a chosen piece of knowledge, one method per file."""
