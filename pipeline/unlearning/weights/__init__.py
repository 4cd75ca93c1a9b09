"""Edits of weights: trained to forget, persistent, without a hook."""
