"""Pictures of several runs: training, the tree's stability and coherence, forgetting against damage."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.comparison import Run, levels
from pipeline.report.evidence import INTERVAL
from pipeline.report.methods import in_order
from pipeline.report.pictures import curve, frame, kept, literal, look, new_picture, sweep

_CURVES = {"explained_variance": "explained variance", "l0": "active latents per token (L0)"}
_TREE = {"stability_ari": "stability of the groups (ARI)", "coherence_lift": "coherence lift on held-out text"}
_IN_A_LINE = 4  # methods in the legend


def comparison_pictures(runs: Sequence[Run]) -> dict[str, Figure]:
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
    picture, axes = new_picture(9, 3.4, 1, len(_CURVES))
    for ax, (name, words) in zip(axes, _CURVES.items(), strict=True):
        for number, run in enumerate(runs):
            curve(ax, run.curves.get("training", []), name, look(number), label=literal(run.name))
        ax.set_title(words)
        ax.set_xlabel("training step")
    axes[0].legend(fontsize=8.5)
    return picture


def hierarchy(runs: Sequence[Run]) -> Figure:
    """Stability (its null in grey) and coherence of every cut, run by run."""
    picture, axes = new_picture(9, 3.4, 1, len(_TREE))
    cuts = sorted({name.rsplit("_", 1)[1] for run in runs for name in run.means("hierarchy") if "_level_" in name})
    for ax, (name, words) in zip(axes, _TREE.items(), strict=True):
        for number, cut in enumerate(cuts):
            _cut(ax, runs, name, cut, number)
        ax.set_title(words + (" (grey: shuffled)" if name == "stability_ari" else ""))
        ax.set_xticks(range(len(runs)), labels=[literal(run.name) for run in runs], rotation=45, ha="right")
    axes[0].legend(fontsize=8.5)
    return picture


def _cut(ax: Axes, runs: Sequence[Run], name: str, cut: str, number: int) -> None:
    style, key = look(number), f"{name}_level_{cut}"
    means = {k: run.means("hierarchy") for k, run in enumerate(runs) if key in run.means("hierarchy")}
    errors = [INTERVAL * runs[k].stderrs("hierarchy").get(key, 0.0) for k in means]
    bars = {"fmt": style.marker, "color": style.colour, "capsize": 2.5, "label": f"cut {cut}"}
    ax.errorbar(list(means), [of_run[key] for of_run in means.values()], yerr=errors, **bars)
    if name == "stability_ari":
        nulls = [of_run.get(f"stability_null_level_{cut}") for of_run in means.values()]
        ax.plot(list(means), nulls, "_", color="0.6", markersize=12, zorder=1)


def forgetting(runs: Sequence[Run], level: str) -> Figure:
    """One panel a run: choice left on the target against the siblings' loss; lower left is better.

    Small: candidates on dev, a line joins those that no other beats. Large: the kept edit on test with 95 % intervals.
    """
    measured = [run for run in runs if run.methods(level)]
    columns = min(4, len(measured))
    rows = -(-len(measured) // columns)
    order = in_order(list(dict.fromkeys(method for run in measured for method in run.methods(level))))
    legend = 0.2 * -(-len(order) // _IN_A_LINE)  # inches
    picture, axes = new_picture(max(2.9 * columns, 6), 2.9 * rows + legend, rows, columns)
    for ax, run in zip(axes, measured, strict=False):
        for number, method in enumerate(order):
            candidates = run.curves.get("sweeps", {}).get(f"{method}/{level}", [])
            sweep(ax, candidates, "forget_mcq", "sibling_drop", look(number))
            kept(ax, run, method, level, "forget_mcq", "sibling_drop", look(number))
        frame(ax, "forget_mcq", (0, 5, 20, 100))
        ax.set_ylim(-5, 110)
        ax.set_title(literal(run.name))
    for ax in axes[len(measured) :]:
        ax.set_visible(False)
    for ax in axes[::columns]:
        ax.set_ylabel("siblings' loss, points")
    for ax in axes[len(measured) - columns : len(measured)]:
        ax.set_xlabel("still chosen out of four, %")
    picture.suptitle(f"{literal(level)}: what was forgotten, what was broken (dotted: chance)", fontsize=10.5)
    handles, labels = _legend(axes)
    picture.legend(handles, labels, loc="outside lower center", ncols=_IN_A_LINE, fontsize=8.5)
    return picture


def _legend(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Every method once, wherever it was drawn, in the order of the tables."""
    known: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    names = in_order(list(known))
    return [known[name] for name in names], names
