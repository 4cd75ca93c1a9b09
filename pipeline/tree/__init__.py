"""Correlation of latents, the dendrogram, its cuts and their stability."""
