"""Pictures of several runs: training, the tree's stability and coherence, forgetting against damage."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.comparison import Run, levels
from pipeline.report.evidence import INTERVAL
from pipeline.report.methods import in_order
from pipeline.report.pictures import ASKED, HARMS, curve, legend, legend_lines, literal, look, new_picture, numbered

_CURVES = {"explained_variance": "explained variance", "l0": "active latents per token (L0)"}
_TREE = {"stability_ari": "stability of the groups (ARI)", "coherence_lift": "coherence lift on held-out text"}


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
    """Two rows, a panel a run: multiple choice left on the target against what siblings and other knowledge lose.

    The kept edits on test with 95 % intervals, numbered; lower left is better.
    """
    measured = [run for run in runs if run.methods(level)]
    harms = [harm for harm in HARMS if any(harm in run.means(f"unlearning/none/{level}") for run in measured)]
    order = in_order(list(dict.fromkeys(method for run in measured for method in run.methods(level))))
    lines, columns = legend_lines(order), len(measured)
    size = max(3.2 * columns, 9.4), 3.4 * len(harms) + 0.19 * len(lines)
    picture, axes = new_picture(*size, len(harms) or 1, columns)
    for k, ax in enumerate(axes):
        run, harm = measured[k % columns], (harms or list(HARMS))[k // columns]
        numbered(ax, run, order, level, "forget_mcq", harm)
        ax.set_title(literal(run.name))
        ax.set_xlabel(ASKED["forget_mcq"])
        ax.set_ylabel(HARMS[harm] if k % columns == 0 else "")
    for row in range(len(harms)):
        together = axes[row * columns : (row + 1) * columns]
        bounds = [ax.get_ylim() for ax in together]
        for ax in together:
            ax.set_ylim(min(low for low, _ in bounds), max(high for _, high in bounds))
    picture.suptitle(f"{literal(level)}: what was forgotten, what was damaged (dotted: chance)", fontsize=10.5)
    legend(picture, lines)
    return picture
