"""Sparse autoencoders: architectures, training, the folder on disk."""
