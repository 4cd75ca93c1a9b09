"""A language model's activations on disk: planned, written, shared, read."""
