"""Training curves, and forgetting against damage.

The numbers behind a run's curves, small enough to travel with it: training, snapshots of the tree, dev sweeps.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.evidence import Evidence
from pipeline.report.methods import CATEGORY, in_order, kind_of
from pipeline.report.style import Look, literal, look, new_figure
from pipeline.report.verdict import INTERVAL

CHANCE = 25.0  # % of four options
MOST_TOGETHER = 8  # methods in one panel
_CURVES = {
    "explained_variance": "explained variance",
    "l0": "active latents per token (L0)",
    "dead_share": "dead latents (share)",
    "loss": "loss",
}
# What was asked: final_info's name, the sweep's name, the words on the axis.
ASKED = {
    "cloze": ("forget_cloze", "forget_cloze", "target still completed, % of held-out probes"),
    "mcq": ("forget_mcq", "forget_choice", "target still chosen out of four, % of held-out probes"),
}
DAMAGE = {
    "sibling_drop": "siblings' loss, points",
    "other_drop": "other knowledge's loss, points",
    "general_drop": "general knowledge's loss, points",
}


def training_curves(training: dict[str, Any]) -> Figure:
    """Explained variance, L0, dead share and loss against optimiser steps."""
    rows = training["curves"]
    names = [name for name in _CURVES if any(name in row for row in rows)]
    figure, axes = new_figure(7, 4.4, 2, 2)
    for ax, name in zip(axes, names, strict=False):
        known = [row for row in rows if name in row]
        ax.plot([row["step"] for row in known], [row[name] for row in known], color=look(0).colour, linewidth=1.3)
        ax.set_title(_CURVES[name])
        if name in ("l0", "dead_share"):
            ax.set_ylim(0, 1.2 * max(row[name] for row in known) or 0.01)  # else a constant looks like noise
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    for ax in axes[2:]:
        ax.set_xlabel("training step")
    return figure


def tree_in_training(training: dict[str, Any]) -> dict[str, Figure]:
    """``tree_in_training``: each snapshot's groups against those of the snapshot before, and with shuffled leaves."""
    rows = [{"step": row["step"], **cut} for row in training["snapshots"] for cut in row["cuts"] if "ari" in cut]
    if not rows:
        return {}
    figure, (ax,) = new_figure(5.6, 3)
    for number, level in enumerate(sorted({row["level"] for row in rows})):
        of_level, style = [row for row in rows if row["level"] == level], look(number)
        steps = [row["step"] for row in of_level]
        label = f"cut {level} (r ≥ {of_level[0]['correlation']:.2f})"
        ax.plot(steps, [row["ari"] for row in of_level], marker=style.marker, color=style.colour, label=label)
        ax.plot(steps, [row["ari_null"] for row in of_level], marker=style.marker, color="0.7", markersize=3, zorder=1)
    ax.set_ylim(-0.08, 1.02)
    ax.set_xlabel("training step (grey: shuffled leaves)")
    ax.set_ylabel("same groups as before (ARI)")
    ax.legend(fontsize=8.5)
    return {"tree_in_training": figure}


def tradeoffs(evidence: Evidence) -> dict[str, Figure]:
    """Per level: cloze and choice against the siblings' loss, and cloze against that of other knowledge.

    Named ``tradeoff_<level>_cloze``, ``_mcq`` and ``_other``; what was not measured has none.
    """
    found = {}
    for level in evidence.levels():
        measured = [harm for harm in DAMAGE if harm in evidence.means(f"unlearning/none/{level}")]
        for name, asked, harm in (
            ("cloze", "cloze", measured[:1]),
            ("mcq", "mcq", measured[:1]),
            ("other", "cloze", [name for name in measured[1:] if name == "other_drop"]),
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
    figure, axes = new_figure(5.6 if columns == 1 else 8.4, 4.6 * rows, rows, columns)
    for ax, (title, methods) in zip(axes, panels.items(), strict=False):
        for number, method in enumerate(methods):
            _method(ax, evidence, method, level, asked, harm, look(number))
        _frame(ax, asked, harm)
        name = f"{level} {' / '.join(evidence.corpus['targets'][level])}"
        ax.set_title(literal(name if len(panels) == 1 else title))
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3 if columns == 1 else 2, fontsize=8.5)
    bounds = [ax.get_ylim() for ax in axes[: len(panels)]]
    for ax in axes:
        ax.set_ylim(max(-5, min(low for low, _ in bounds)), max(high for _, high in bounds))
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def panels_of(methods: Sequence[str]) -> dict[str, list[str]]:
    """Title -> methods: all in one while their looks differ, else one a category, each with the references."""
    ordered = in_order(methods)
    if len(ordered) <= MOST_TOGETHER:
        return {"": ordered}
    references = [method for method in ordered if kind_of(method) == "reference"]
    kinds = [kind for kind in CATEGORY if kind != "reference" and any(kind_of(m) == kind for m in ordered)]
    return {CATEGORY[kind]: references + [m for m in ordered if kind_of(m) == kind] for kind in kinds}


def _method(ax: Axes, evidence: Evidence, method: str, level: str, asked: str, harm: str, style: Look) -> None:
    after, candidate, _ = ASKED[asked]
    cell, key = evidence.cells.get((method, level)), f"unlearning/{method}/{level}"
    if cell:
        _sweep(ax, [(100 * row[candidate], row[harm]) for row in cell.candidates if row[harm] is not None], style)
    _point(ax, evidence.means(key), evidence.stderrs(key), after, harm, method, style)


def _frame(ax: Axes, asked: str, harm: str) -> None:
    """The axes, alike in every panel."""
    if asked == "mcq":
        ax.axvline(CHANCE, color="0.6", linewidth=0.8, linestyle=":")
        ax.annotate("chance", (CHANCE, 0.93), xycoords=("data", "axes fraction"), color="0.3", fontsize=8)
    ax.set_yscale("symlog", linthresh=5)  # a sweep's worst points would flatten all others
    ax.set_yticks([0, 2, 5, 10, 20, 50, 100], labels=["0", "2", "5", "10", "20", "50", "100"])
    ax.set_yticks([], minor=True)
    ax.set_xlim(-3, 103)
    ax.set_xlabel(ASKED[asked][2])
    ax.set_ylabel(DAMAGE[harm])


def _sweep(ax: Axes, points: list[tuple[float, float]], style: Look) -> None:
    """All candidates of the dev sweep, and the line of those that no other beats in both."""
    if not points:
        return
    ax.plot(*zip(*points, strict=True), style.marker, color=style.colour, markersize=3, alpha=0.25, fillstyle="none")
    front = pareto(points)
    (line,) = ax.plot(*zip(*front, strict=True), color=style.colour, linewidth=1.1, alpha=0.8)
    if style.dashes:
        line.set_dashes(style.dashes)


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that none is at least as low in both, from left to right.

    >>> pareto([(3, 3), (1, 2), (2, 1), (2, 5)])
    [(1, 2), (2, 1)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _point(
    ax: Axes, means: dict[str, float], stderrs: dict[str, float], after: str, harm: str, method: str, style: Look
) -> None:
    if after not in means or harm not in means:
        return
    x, y = 100 * means[after], means[harm]
    errors = np.array([[INTERVAL * 100 * stderrs.get(after, 0)], [INTERVAL * stderrs.get(harm, 0)]])
    face = "white" if kind_of(method) in ("control", "reference") else style.colour
    line = ax.errorbar(
        x,
        y,
        xerr=errors[0],
        yerr=errors[1],
        fmt=style.marker,
        color=style.colour,
        markerfacecolor=face,
        markersize=8,
        capsize=2.5,
        elinewidth=1,
        linewidth=1.1,
        label=method,
        zorder=3,
    )
    line.lines[0].set_markeredgecolor("black" if face != "white" else style.colour)


_SWEPT = ("forget_choice", "forget_cloze", "sibling_drop", "other_drop", "objective")


def curves(evidence: Evidence) -> dict[str, Any]:
    """Content of ``report/curves.json``; sweeps are named ``<method>/<level>``."""
    return {
        "training": evidence.training["curves"],
        "snapshots": evidence.training["snapshots"],
        "sweeps": {
            f"{method}/{level}": [{name: row[name] for name in _SWEPT} for row in cell.candidates]
            for (method, level), cell in evidence.cells.items()
        },
    }
