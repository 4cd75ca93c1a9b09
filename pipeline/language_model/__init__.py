"""Causal language models: loading, hooks on the residual stream, a tiny one trained here."""
