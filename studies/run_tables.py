"""Tables of the committed runs in docs/runs/, a folder each with the small files of what `experiment.py` wrote.

Some are of the recommended run alone, the last; the others have the planned runs side by side.
"""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap

from pipeline.report.comparison import Run, comparison, figure, not_measured, read_runs
from pipeline.report.methods import CATEGORY, FAMILIES, in_order, kind_of
from pipeline.unlearning.methods import METHODS
from studies.markdown import grouped, table

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "docs" / "runs"
STUDIED = ROOT / "studies/world/results/forgetting.json"
FEWEST_REFITS = 3  # whose range says something
STAGES = tuple(
    "prepare cache_activations train_sae encode_features correlate build_dendrogram unlearn evaluate report".split()
)
LEVELS = ("domain", "topic", "entity")
COLUMNS = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop", "perplexity_ratio", "latents")
BRIEF = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop")
SAE = {
    "explained_variance": "explained variance",
    "l0": "active latents per token (L0)",
    "dead_share": "share of latents that never fire",
    "ce_loss_recovered": "cross-entropy loss recovered",
    "spliced_cloze": "held-out cloze with the SAE spliced in",
}


def seconds(run: str) -> dict[str, dict]:
    """What each stage of a run said and took."""
    return {name: json.loads((RUNS / run / "times" / f"{name}.json").read_text(encoding="utf-8")) for name in STAGES}


# --- the recommended run, for README.md ------------------------------------------------------------------------------


def output(runs: Sequence[Run]) -> str:
    """What experiment.py printed: every stage's line, as its times file keeps it."""
    name = runs[-1].name
    printed = [f"{stage}: {row['summary']} [{row['seconds']:.1f} s]" for stage, row in seconds(name).items()]
    said = [part for line in printed for part in wrap(line, 116, subsequent_indent="  ")]
    return "\n".join(["```text", *said, f"{name}: results are in {name}", "```"])


def model(runs: Sequence[Run]) -> str:
    m = runs[-1].means("language_model")
    return (
        f"The tiny model, after {m['training_tokens']:,.0f} training tokens, answers {m['heldout_cloze']:.1%} of the "
        f"facts in held-out paraphrases (cloze over the whole vocabulary), {m['heldout_mcq']:.1%} with four options, "
        f"and {m['general_facts']:.1%} of general facts; in wholly new templates {m['novel_cloze']:.1%} and "
        f"{m['novel_mcq']:.1%}."
    )


def dictionary(runs: Sequence[Run]) -> str:
    sae, layer = runs[-1].params["sae"], runs[-1].params["activations"]["layer"]
    title = f"the SAE ({sae['architecture']}, {sae['d_sae']:,} latents, layer {layer}), on test text"
    return table([title, ""], [[label, figure(runs[-1], "sae", name) or "-"] for name, label in SAE.items()])


def forgetting(level: str) -> Callable[[Sequence[Run]], str]:
    """One row a method, category by category; then what is absent, and why."""

    def of_level(runs: Sequence[Run]) -> str:
        run, key = runs[-1], f"unlearning/{{}}/{level}"
        methods = in_order(run.methods(level))
        shown = [name for name in COLUMNS if any(name in run.means(key.format(method)) for method in methods)]
        rows = []
        for k, method in enumerate(methods):
            if kind_of(method) != "reference" and (k == 0 or kind_of(method) != kind_of(methods[k - 1])):
                rows.append([f"*{CATEGORY[kind_of(method)]}*", *[""] * len(shown)])
            rows.append([f"`{method}`", *(_cell(run, key.format(method), name) for name in shown)])
        return table([f"forgetting one {level}", *(name.replace("_", " ") for name in shown)], rows)

    return of_level


def refits(runs: Sequence[Run]) -> str:
    """What the study saw of the same methods on the same target of other worlds: from the lowest to the highest."""
    run, studied = runs[-1], json.loads(STUDIED.read_text(encoding="utf-8"))
    rows = []
    for level, node in run.params["unlearning"]["targets"].items():
        of_target = grouped(row for row in studied if (row["level"], row["node"]) == (level, node))
        for method in in_order(run.methods(level)):
            found = [row["means"] for row in of_target.get(method, [])]
            if len(found) >= FEWEST_REFITS and kind_of(method) != "reference":
                rows.append([f"`{method}`", level, str(len(found)), *(_range(found, name) for name in BRIEF)])
    return table(["method", "target", "refits", *(name.replace("_", " ") for name in BRIEF)], rows)


def _range(found: Sequence[dict[str, float]], name: str) -> str:
    if any(name not in means for means in found):
        return "-"
    values, digits = [means[name] for means in found], 1 if name.endswith("drop") else 3
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def _cell(run: Run, key: str, name: str) -> str:
    if name == "latents" and name in run.means(key):
        return f"{run.means(key)[name]:.0f}"
    return figure(run, key, name) or "-"


def further(runs: Sequence[Run]) -> str:
    """Relearning, few shots and scope, where the run has them."""
    content = comparison([runs[-1]])
    parts = []
    for title, _ in FAMILIES.values():
        rows = content.get(title, [])
        names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "run"]
        if rows:
            cells = [[str(row.get(name) or "-") for name in names] for row in rows]
            parts.append(table([title, *(name.replace("_", " ") for name in names[1:])], cells))
    lacking = [title.split(":")[0].lower() for title, _ in FAMILIES.values() if title not in content]
    if lacking:
        parts.append(f"Not measured in {runs[-1].name}: {', '.join(lacking)}.")
    return "\n\n".join(parts)


def times(runs: Sequence[Run]) -> str:
    taken = {name: row["seconds"] for name, row in seconds(runs[-1].name).items()}
    row = ["seconds", *(f"{s:.0f}" for s in taken.values()), f"{sum(taken.values()):.0f}"]
    return table(["stage", *taken, "all"], [row])


def methods(runs: Sequence[Run]) -> str:
    """Every method: what it does, where it comes from, and what its forgetting is worth."""
    rows = [
        [f"`{name}`", METHODS[name].what, METHODS[name].source, CATEGORY[METHODS[name].kind]]
        for name in in_order(list(METHODS))
    ]
    return table(["method", "what it does", "source", "kind"], rows)


# --- the planned runs side by side, for docs/results.md --------------------------------------------------------------


def changed(runs: Sequence[Run]) -> str:
    return _table(comparison(runs)["what each run changed"])


def dictionaries(runs: Sequence[Run]) -> str:
    return _table(comparison(runs)["dictionary"])


def hierarchies(runs: Sequence[Run]) -> str:
    return _table(comparison(runs)["hierarchy"])


def _table(rows: Sequence[dict]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return table(names, [[str(row.get(name) or "") for name in names] for row in rows])


def matrix(level: str) -> Callable[[Sequence[Run]], str]:
    """One row a method, one column a run: share of the target still chosen out of four / points that siblings lost."""

    def of_level(runs: Sequence[Run]) -> str:
        methods = in_order(list(dict.fromkeys(method for run in runs for method in run.methods(level))))
        rows = []
        for method in methods:
            key = f"unlearning/{method}/{level}"
            cells = [(figure(run, key, "forget_mcq"), figure(run, key, "sibling_drop")) for run in runs]
            rows.append([f"`{method}`", *(" / ".join(filter(None, cell)) or "-" for cell in cells)])
        return table([f"one {level}", *(run.name for run in runs)], rows)

    return of_level


def absences(runs: Sequence[Run]) -> str:
    """Why a cell of the matrices is a dash."""
    rows = [[row["run"], row["level"], row["methods"], row["why"]] for row in not_measured(runs)]
    return table(["run", "level", "methods", "why it has no figure"], rows) if rows else "Every run has every method."


def durations(runs: Sequence[Run]) -> str:
    """Seconds of every stage; a run that shares a stage with the one before took it from the cache."""
    taken = {run.name: seconds(run.name) for run in runs}
    rows = [[name, *(f"{taken[run.name][name]['seconds']:.0f}" for run in runs)] for name in STAGES]
    return table(["stage", *(run.name for run in runs)], rows)


TABLES: dict[str, Callable[[Sequence[Run]], str]] = {
    "output": output,
    "model": model,
    "dictionary": dictionary,
    **{f"forgetting_{level}": forgetting(level) for level in LEVELS},
    "refits": refits,
    "further": further,
    "times": times,
    "methods": methods,
    "changed": changed,
    "dictionaries": dictionaries,
    "hierarchies": hierarchies,
    **{f"matrix_{level}": matrix(level) for level in LEVELS},
    "absences": absences,
    "durations": durations,
}


@functools.cache
def all_runs() -> list[Run]:
    """The committed runs, in the order of their names."""
    return read_runs([path.parent for path in RUNS.glob("run_*/final_info.json")])
