"""How figures look: colours that colour-blind readers tell apart and marks that tell them apart in grey."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito 2008, those with enough contrast on white; marker and line differ too, for prints in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
_MARKERS = "osD^vP<>*ph"
_DASHES = ((), (5, 2), (2, 1.5), (6, 2, 1.5, 2), (1, 1), (8, 2), (3, 1, 1, 1))
SETTINGS = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "report",  # the same figure is the same file
    "svg.fonttype": "none",
}


class Look(NamedTuple):
    """Colour, marker and dash pattern of one series."""

    colour: str
    marker: str
    dashes: tuple[float, ...]


def look(number: int) -> Look:
    """The look of series ``number``; lists of different length make repeated colours bear other marks."""
    return Look(_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)], _DASHES[number % len(_DASHES)])


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure in inches with its axes in reading order. The look is set for the whole process: all draw alike."""
    mpl.rcParams.update(SETTINGS)
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> None:
    """Write every figure as ``<name>.png`` and ``<name>.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it is laid out now; once is enough for both files
        figure.savefig(folder / f"{name}.png", dpi=150)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def literal(text: str) -> str:
    """Text from a corpus or a configuration, safe from matplotlib's reading of ``$...$`` as mathematics."""
    return text.replace("$", r"\$")
