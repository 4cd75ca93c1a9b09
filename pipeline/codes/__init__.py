"""Sparse codes on disk: the latents of every token, their words and their contexts."""
