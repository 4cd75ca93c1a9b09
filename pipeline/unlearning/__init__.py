"""Edits that remove a chosen piece of knowledge: cases, benches and the methods, a family a file or folder."""
