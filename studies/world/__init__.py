"""Unlearning over seeds, levels, targets and methods of the embedded world, in cells that are kept."""
