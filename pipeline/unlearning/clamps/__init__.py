"""Clamps: chosen latents are set to a value wherever they fire."""
