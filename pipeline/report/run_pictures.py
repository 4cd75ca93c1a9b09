"""Curves over runs: training, the tree's stability and coherence, forgetting against damage."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.methods import in_order, kind_of
from pipeline.report.pictures import CHANCE, pareto
from pipeline.report.run_tables import INTERVAL
from pipeline.report.runs import Run, levels
from pipeline.report.style import literal, look, new_figure

_CURVES = {"explained_variance": "explained variance", "l0": "active latents per token (L0)"}
_TREE = {"stability_ari": "stability of the groups (ARI)", "coherence_lift": "coherence lift on held-out text"}


def comparison_figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """``compare_training``, ``compare_hierarchy`` and ``compare_forgetting_<level>``; what no run has is left out."""
    found = {}
    if any(run.curves.get("training") for run in runs):
        found["compare_training"] = training(runs)
    if any(run.means("hierarchy") for run in runs):
        found["compare_hierarchy"] = hierarchy(runs)
    for level in levels(runs):
        found[f"compare_forgetting_{level}"] = forgetting(runs, level)
    return found


def training(runs: Sequence[Run]) -> Figure:
    """How every run's dictionary was learnt; runs that share one lie on each other."""
    figure, axes = new_figure(9, 3.4, 1, len(_CURVES))
    for ax, (name, words) in zip(axes, _CURVES.items(), strict=True):
        for number, run in enumerate(runs):
            rows = [row for row in run.curves.get("training", []) if name in row]
            style = look(number)
            (line,) = ax.plot(
                [row["step"] for row in rows], [row[name] for row in rows], color=style.colour, label=literal(run.name)
            )
            if style.dashes:
                line.set_dashes(style.dashes)
        ax.set_title(words)
        ax.set_xlabel("training step")
    axes[0].legend(fontsize=8.5)
    return figure


def hierarchy(runs: Sequence[Run]) -> Figure:
    """Stability (its null in grey) and coherence of every cut, run by run."""
    figure, axes = new_figure(9, 3.4, 1, len(_TREE))
    places = range(len(runs))
    cuts = sorted({name.rsplit("_", 1)[1] for run in runs for name in run.means("hierarchy") if "_level_" in name})
    for ax, (name, words) in zip(axes, _TREE.items(), strict=True):
        for number, cut in enumerate(cuts):
            style, key = look(number), f"{name}_level_{cut}"
            known = [k for k in places if key in runs[k].means("hierarchy")]
            values = [runs[k].means("hierarchy")[key] for k in known]
            errors = [INTERVAL * runs[k].stderrs("hierarchy").get(key, 0.0) for k in known]
            bars = {"fmt": style.marker, "color": style.colour, "capsize": 2.5, "label": f"cut {cut}"}
            ax.errorbar(known, values, yerr=errors, **bars)
            if name == "stability_ari":
                nulls = [runs[k].means("hierarchy").get(f"stability_null_level_{cut}") for k in known]
                ax.plot(known, nulls, "_", color="0.6", markersize=12, zorder=1)
        ax.set_title(words + (" (grey: shuffled)" if name == "stability_ari" else ""))
        ax.set_xticks(list(places), labels=[literal(run.name) for run in runs], rotation=45, ha="right")
    axes[0].legend(fontsize=8.5)
    return figure


def forgetting(runs: Sequence[Run], level: str) -> Figure:
    """One panel a run: choice left on the target against the siblings' loss; lower left is better.

    Small: candidates on dev, a line joins those that no other beats. Large: the kept edit on test with 95 % intervals.
    """
    measured = [run for run in runs if run.methods(level)]
    columns = min(4, len(measured))
    figure, axes = new_figure(2.9 * columns, 2.9 * -(-len(measured) // columns), -(-len(measured) // columns), columns)
    order = in_order(list(dict.fromkeys(method for run in measured for method in run.methods(level))))
    for ax, run in zip(axes, measured, strict=False):
        for number, method in enumerate(order):
            _sweep(ax, run.curves.get("sweeps", {}).get(f"{method}/{level}", []), number)
            _kept(ax, run, method, level, number)
        ax.axvline(CHANCE, color="0.6", linewidth=0.8, linestyle=":")
        ax.set_yscale("symlog", linthresh=5)
        ax.set_yticks([0, 5, 20, 100], labels=["0", "5", "20", "100"])
        ax.set_yticks([], minor=True)
        ax.set_xlim(-3, 103)
        ax.set_ylim(-5, 110)
        ax.set_title(literal(run.name))
    for ax in axes[len(measured) :]:
        ax.set_visible(False)
    for ax in axes[::columns]:
        ax.set_ylabel("siblings' loss, points")
    for ax in axes[len(measured) - columns : len(measured)]:
        ax.set_xlabel("still chosen out of four, %")
    figure.suptitle(f"{literal(level)}: what was forgotten, what was broken (dotted: chance)", fontsize=10.5)
    handles, labels = _legend(axes)
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8.5)
    return figure


def _sweep(ax: Axes, rows: Sequence[dict[str, Any]], number: int) -> None:
    points = [(100 * row["forget_choice"], row["sibling_drop"]) for row in rows if row["sibling_drop"] is not None]
    if points:
        style = look(number)
        ax.plot(*zip(*points, strict=True), style.marker, color=style.colour, markersize=2.5, alpha=0.25)
        ax.plot(*zip(*pareto(points), strict=True), color=style.colour, linewidth=1, alpha=0.8)


def _kept(ax: Axes, run: Run, method: str, level: str, number: int) -> None:
    means, stderrs = run.means(f"unlearning/{method}/{level}"), run.stderrs(f"unlearning/{method}/{level}")
    if "sibling_drop" not in means:
        return
    style = look(number)
    ax.errorbar(
        100 * means["forget_mcq"],
        means["sibling_drop"],
        xerr=INTERVAL * 100 * stderrs.get("forget_mcq", 0),
        yerr=INTERVAL * stderrs.get("sibling_drop", 0),
        fmt=style.marker,
        color=style.colour,
        markerfacecolor="white" if kind_of(method) in ("control", "reference") else style.colour,
        capsize=2,
        label=method,
    )


def _legend(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Every method once, wherever it was drawn first."""
    known: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    return list(known.values()), list(known)
