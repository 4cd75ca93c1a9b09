"""Learned gates: multipliers of codes, trained through the upper layers."""
