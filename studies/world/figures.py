"""What the tables of the study are made of: figures over cells with their spread."""

from statistics import median

import numpy as np
from scipy.stats import t

Row = dict


def spread(values: list[float], digits: int) -> str:
    """Median (lower to upper quartile)."""
    low, high = np.percentile(values, [25, 75])
    return f"{median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def mean(cells: list[Row], column: str, digits: int) -> str:
    """Mean over cells and half its 95 % interval."""
    values = [cell["means"][column] for cell in cells]
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {1.96 * error:.{digits}f}"


def interval(values: list[float], digits: int) -> str:
    """Mean with the bootstrap interval over cells."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{np.mean(values):+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def t_interval(values: list[float], digits: int) -> str:
    """Mean with Student's interval: a bootstrap of five values is too narrow."""
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    centre = float(np.mean(values))
    return f"{centre:.{digits}f} ({centre - half:.{digits}f} to {centre + half:.{digits}f})"
