"""The study: unlearning over seeds, levels, targets and methods, in cells that are computed once and kept."""
