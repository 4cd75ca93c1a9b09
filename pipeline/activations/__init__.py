"""Residual-stream activations and sparse codes on disk."""
