"""Pictures of one run: how the dictionary was trained, what was forgotten against what was damaged.

Colours are those that colour-blind readers tell apart; markers and lines differ too, for prints in grey.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.corpus.settings import CHANCE
from pipeline.report.evidence import INTERVAL, Evidence, Figures
from pipeline.report.methods import CATEGORY, in_order, kind_of

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
MOST_TOGETHER = 8  # methods in one panel
_CURVES = {
    "explained_variance": "explained variance",
    "l0": "active latents per token (L0)",
    "dead_share": "dead latents (share)",
    "loss": "loss",
}
# What was asked: final_info's name -> the sweep's name, and the words on the axis.
ASKED = {
    "forget_cloze": ("forget_cloze", "target still completed, % of held-out probes"),
    "forget_mcq": ("forget_choice", "target still chosen out of four, % of held-out probes"),
}
DAMAGE = {
    "sibling_drop": "siblings' loss, points",
    "other_drop": "other knowledge's loss, points",
    "general_drop": "general knowledge's loss, points",
}


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


def tradeoffs(evidence: Evidence) -> dict[str, Figure]:
    """Per level: cloze and choice against the siblings' loss, and cloze against that of other knowledge.

    Named ``tradeoff_<level>_cloze``, ``_mcq`` and ``_other``; what was not measured has none.
    """
    found = {}
    for level in evidence.levels():
        measured = [harm for harm in DAMAGE if harm in evidence.means(f"unlearning/none/{level}")]
        for name, asked, harm in (
            ("cloze", "forget_cloze", measured[:1]),
            ("mcq", "forget_mcq", measured[:1]),
            ("other", "forget_cloze", [name for name in measured[1:] if name == "other_drop"]),
        ):
            if harm:
                found[f"tradeoff_{level}_{name}"] = tradeoff(evidence, level, asked, harm[0])
    return found


def tradeoff(evidence: Evidence, level: str, asked: str, harm: str) -> Figure:
    """Forgetting against damage: every method's dev sweep, its best front as a line, its test figure with intervals.

    Lower left is better. Many methods get a panel for each category, what was before the edit in all of them.
    """
    panels = panels_of(evidence.methods(level))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    picture, axes = new_picture(5.6 if columns == 1 else 8.4, 4.6 * rows, rows, columns)
    for ax, (title, methods) in zip(axes, panels.items(), strict=False):
        for number, method in enumerate(methods):
            cell = evidence.cells.get((method, level))
            sweep(ax, cell.candidates if cell else [], asked, harm, look(number))
            kept(ax, evidence, method, level, asked, harm, look(number))
        frame(ax, asked)
        ax.set_xlabel(ASKED[asked][1])
        ax.set_ylabel(DAMAGE[harm])
        ax.set_title(literal(f"{level} {evidence.target(level)}" if len(panels) == 1 else title))
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3 if columns == 1 else 2, fontsize=8.5)
    bounds = [ax.get_ylim() for ax in axes[: len(panels)]]
    for ax in axes:
        ax.set_ylim(max(-5, min(low for low, _ in bounds)), max(high for _, high in bounds))
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return picture


def panels_of(methods: Sequence[str]) -> dict[str, list[str]]:
    """Title -> methods: all in one while their looks differ, else one a category, each with the references."""
    ordered = in_order(methods)
    if len(ordered) <= MOST_TOGETHER:
        return {"": ordered}
    references = [method for method in ordered if kind_of(method) == "reference"]
    kinds = [kind for kind in CATEGORY if kind != "reference" and any(kind_of(m) == kind for m in ordered)]
    return {CATEGORY[kind]: references + [m for m in ordered if kind_of(m) == kind] for kind in kinds}


def frame(ax: Axes, asked: str, ticks: Sequence[int] = (0, 2, 5, 10, 20, 50, 100)) -> None:
    """Axes of forgetting against damage, alike in every panel; ``ticks`` are points of damage."""
    if asked == "forget_mcq":
        ax.axvline(100 * CHANCE, color="0.6", linewidth=0.8, linestyle=":")
        ax.annotate("chance", (100 * CHANCE, 0.93), xycoords=("data", "axes fraction"), color="0.3", fontsize=8)
    ax.set_yscale("symlog", linthresh=5)  # a sweep's worst points would flatten all others
    ax.set_yticks(ticks, labels=[str(points) for points in ticks])
    ax.set_yticks([], minor=True)
    ax.set_xlim(-3, 103)


def sweep(ax: Axes, candidates: Sequence[Mapping[str, Any]], asked: str, harm: str, style: Look) -> None:
    """All candidates of a dev sweep, and the line of those that no other beats in both."""
    points = [(100 * row[ASKED[asked][0]], row[harm]) for row in candidates if row[harm] is not None]
    if not points:
        return
    ax.plot(*zip(*points, strict=True), style.marker, color=style.colour, markersize=3, alpha=0.25, fillstyle="none")
    (line,) = ax.plot(*zip(*pareto(points), strict=True), color=style.colour, linewidth=1.1, alpha=0.8)
    if style.dashes:
        line.set_dashes(style.dashes)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that none is at least as low in both, from left to right.

    >>> pareto([(3, 3), (1, 2), (2, 1), (2, 5)])
    [(1, 2), (2, 1)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def kept(ax: Axes, figures: Figures, method: str, level: str, asked: str, harm: str, style: Look) -> None:
    """The edit that a method kept, by its test figures with 95 % intervals; references and controls are hollow."""
    means, stderrs = (of(f"unlearning/{method}/{level}") for of in (figures.means, figures.stderrs))
    if asked not in means or harm not in means:
        return
    hollow = kind_of(method) in ("control", "reference")
    drawn = ax.errorbar(
        100 * means[asked],
        means[harm],
        xerr=INTERVAL * 100 * stderrs.get(asked, 0),
        yerr=INTERVAL * stderrs.get(harm, 0),
        fmt=style.marker,
        color=style.colour,
        markerfacecolor="white" if hollow else style.colour,
        markersize=8,
        capsize=2.5,
        elinewidth=1,
        linewidth=1.1,
        label=method,
        zorder=3,
    )
    drawn.lines[0].set_markeredgecolor(style.colour if hollow else "black")
