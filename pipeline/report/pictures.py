"""Pictures of one run: how the dictionary was trained, what was forgotten against what was damaged.

Colours are those that colour-blind readers tell apart; markers and lines differ too, for prints in grey.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.corpus.settings import CHANCE
from pipeline.report.evidence import INTERVAL, Evidence, Figures
from pipeline.report.methods import CATEGORY, Kind, in_order, kind_of

# Okabe & Ito 2008, those with enough contrast on white.
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
    "svg.hashsalt": "report",  # the same picture is the same file
    "svg.fonttype": "none",
}
POINTS = 72  # to the inch
LEGEND_WIDTH = 118  # letters
# By kind its colour and marker; in grey the marker tells.
LOOKS: dict[Kind, tuple[str, str]] = {
    "reference": ("#000000", "x"),
    "clamp": ("#0072B2", "o"),
    "guard": ("#D55E00", "s"),
    "weights": ("#009E73", "^"),
    "control": ("#6f6f6f", "D"),
}
_CURVES = {
    "explained_variance": "explained variance",
    "l0": "active latents per token (L0)",
    "dead_share": "dead latents (share)",
    "loss": "loss",
}
ASKED = {
    "forget_mcq": "multiple choice on the target, %",
    "forget_cloze": "facts of the target completed, %",
}
HARMS = {"sibling_drop": "siblings lose, points", "other_drop": "other knowledge loses, points"}


class Look(NamedTuple):
    """Colour, marker and dash pattern of one series."""

    colour: str
    marker: str
    dashes: tuple[float, ...]


def look(number: int) -> Look:
    """The look of series ``number``; lists of different length make repeated colours bear other marks."""
    return Look(_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)], _DASHES[number % len(_DASHES)])


def new_picture(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A picture in inches with its axes in reading order. The look is set for the whole process: all draw alike."""
    mpl.rcParams.update(SETTINGS)
    picture = Figure(figsize=(width, height), layout="constrained")
    return picture, list(picture.subplots(rows, columns, squeeze=False).flat)


def save_pictures(folder: Path, pictures: Mapping[str, Figure]) -> None:
    """Write every picture as ``<name>.png`` and ``<name>.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        picture.draw_without_rendering()
        picture.set_layout_engine("none")  # it is laid out now; once is enough for both files
        picture.savefig(folder / f"{name}.png", dpi=150)
        picture.savefig(folder / f"{name}.svg", metadata={"Date": None})


def literal(text: str) -> str:
    """Text from a corpus or a configuration, safe from matplotlib's reading of ``$...$`` as mathematics."""
    return text.replace("$", r"\$")


def curve(ax: Axes, rows: Sequence[Mapping[str, Any]], name: str, style: Look, **more: Any) -> None:
    """One figure of the rows that have it, against their training step."""
    known = [row for row in rows if name in row]
    (line,) = ax.plot([row["step"] for row in known], [row[name] for row in known], color=style.colour, **more)
    if style.dashes:
        line.set_dashes(style.dashes)


def training_curves(training: Mapping[str, Any]) -> Figure:
    """Explained variance, L0, dead share and loss against optimiser steps."""
    rows = training["curves"]
    names = [name for name in _CURVES if any(name in row for row in rows)]
    picture, axes = new_picture(7, 4.4, 2, 2)
    for ax, name in zip(axes, names, strict=False):
        curve(ax, rows, name, look(0), linewidth=1.3)
        ax.set_title(_CURVES[name])
        if name in ("l0", "dead_share"):  # else a constant looks like noise
            ax.set_ylim(0, 1.2 * max(row[name] for row in rows if name in row) or 0.01)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    for ax in axes[2:]:
        ax.set_xlabel("training step")
    return picture


def tree_in_training(training: Mapping[str, Any]) -> dict[str, Figure]:
    """``tree_in_training``: each snapshot's groups against those of the snapshot before, and with shuffled leaves."""
    rows = [{"step": row["step"], **cut} for row in training["snapshots"] for cut in row["cuts"] if "ari" in cut]
    if not rows:
        return {}
    picture, (ax,) = new_picture(5.6, 3)
    for number, level in enumerate(sorted({row["level"] for row in rows})):
        of_level, style = [row for row in rows if row["level"] == level], look(number)._replace(dashes=())
        label = f"cut {level} (r ≥ {of_level[0]['correlation']:.2f})"
        curve(ax, of_level, "ari", style, marker=style.marker, label=label)
        curve(ax, of_level, "ari_null", style._replace(colour="0.7"), marker=style.marker, markersize=3, zorder=1)
    ax.set_ylim(-0.08, 1.02)
    ax.set_xlabel("training step (grey: shuffled leaves)")
    ax.set_ylabel("same groups as before (ARI)")
    ax.legend(fontsize=8.5)
    return {"tree_in_training": picture}


# --- forgetting against damage ---------------------------------------------------------------------------------------


def tradeoffs(evidence: Evidence) -> dict[str, Figure]:
    """Per level ``tradeoff_<level>_mcq`` and ``_cloze``, each a panel a loss; what was not measured has none."""
    found = {}
    for level in evidence.levels():
        harms = [harm for harm in HARMS if harm in evidence.means(f"unlearning/none/{level}")]
        for asked in ASKED if harms else ():
            found[f"tradeoff_{level}_{asked.removeprefix('forget_')}"] = tradeoff(evidence, level, asked, harms)
    return found


def tradeoff(evidence: Evidence, level: str, asked: str, harms: Sequence[str]) -> Figure:
    """Every kept edit by its test figures with 95 % intervals, numbered; colour and marker say its kind.

    Lower left is better; both axes are linear.
    """
    methods = in_order(evidence.methods(level))
    lines = legend_lines(methods)
    picture, axes = new_picture(4.7 * len(harms), 4.2 + 0.19 * len(lines), 1, len(harms))
    for ax, harm in zip(axes, harms, strict=True):
        numbered(ax, evidence, methods, level, asked, harm)
        ax.set_xlabel(ASKED[asked])
        ax.set_ylabel(HARMS[harm])
    picture.suptitle(literal(f"{level} {evidence.target(level)}"), fontsize=10.5)
    legend(picture, lines)
    return picture


def numbered(ax: Axes, figures: Figures, methods: Sequence[str], level: str, asked: str, harm: str) -> None:
    """The kept edits on one pair of axes, each with its number in ``methods``."""
    width, height = ax.get_figure().get_size_inches() / ax.get_subplotspec().get_gridspec().ncols * POINTS
    of_method = {method: figures.means(f"unlearning/{method}/{level}") for method in methods}
    shown = {method: (100 * of[asked], of[harm]) for method, of in of_method.items() if asked in of and harm in of}
    most = max([5.0, *(lost for _, lost in shown.values())])
    in_points = {method: (x / 100 * 0.8 * width, y / most * 0.7 * height) for method, (x, y) in shown.items()}
    taken = list(in_points.values())  # no number covers a mark
    for number, method in enumerate(methods, start=1):
        if method in shown:
            kept(ax, figures, method, level, asked, harm)
            aside = _free(taken, *in_points[method])
            ax.annotate(
                str(number), shown[method], aside, textcoords="offset points", fontsize=8, ha="center", va="center"
            )
    if asked == "forget_mcq":
        ax.axvline(100 * CHANCE, color="0.6", linewidth=0.8, linestyle=":")
        ax.annotate("chance", (100 * CHANCE, 0.96), xycoords=("data", "axes fraction"), color="0.3", fontsize=8)
    ax.set_xlim(-3, 105)


def _free(taken: list[tuple[float, float]], x: float, y: float) -> tuple[float, float]:
    """The nearest place around a point where no number is yet, as an offset in points; the place is then taken."""
    around = [
        (r * np.cos(a), r * np.sin(a)) for r in (12, 20, 28, 38, 48) for a in np.linspace(0, 2 * np.pi, 12, False)
    ]
    free = [(dx, dy) for dx, dy in around if all(abs(x + dx - u) > 11 or abs(y + dy - v) > 9 for u, v in taken)]
    dx, dy = free[0] if free else around[0]
    taken.append((x + dx, y + dy))
    return dx, dy


def kept(ax: Axes, figures: Figures, method: str, level: str, asked: str, harm: str) -> None:
    """The edit that a method kept, by its test figures with 95 % intervals; controls are hollow."""
    means, stderrs = (of(f"unlearning/{method}/{level}") for of in (figures.means, figures.stderrs))
    kind = kind_of(method)
    colour, marker = LOOKS[kind]
    drawn = ax.errorbar(
        100 * means[asked],
        means[harm],
        xerr=INTERVAL * 100 * stderrs.get(asked, 0),
        yerr=INTERVAL * stderrs.get(harm, 0),
        fmt=marker,
        color=colour,
        markerfacecolor="white" if kind == "control" else colour,
        markersize=7,
        elinewidth=0.8,
        zorder=3,
    )
    for bars in drawn[2]:
        bars.set_alpha(0.4)


class LegendLine(NamedTuple):
    """A kind with its numbered methods."""

    kind: Kind
    text: str


def legend_lines(methods: Sequence[str]) -> list[LegendLine]:
    """``clamps (act at inference): 2 subtree, 3 level_cut``, a line a kind, long ones broken."""
    lines = []
    for kind, words in CATEGORY.items():
        named = [f"{k} {method}" for k, method in enumerate(methods, start=1) if kind_of(method) == kind]
        if named:
            lines += [LegendLine(kind, line) for line in textwrap.wrap(f"{words}: {', '.join(named)}", LEGEND_WIDTH)]
    return lines


def legend(picture: Figure, lines: Sequence[LegendLine]) -> None:
    """The lines below the panels, the first of each kind behind its marker."""
    handles, shown = [], set()
    for line in lines:
        colour, marker = LOOKS[line.kind]
        first = line.kind not in shown
        shown.add(line.kind)
        face = "white" if line.kind == "control" else colour
        handles.append(Line2D([], [], color=colour, marker=marker if first else "", markerfacecolor=face, linestyle=""))
    texts = [literal(line.text) for line in lines]
    picture.legend(handles, texts, loc="outside lower left", fontsize=8.5, handletextpad=0.4, labelspacing=0.3)
