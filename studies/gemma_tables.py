"""Tables of the committed run on a real model: what it forgot, what else was lost, what it says."""

import functools
import json
from collections.abc import Callable
from typing import Any

from pipeline.report.comparison import Run, read_runs
from pipeline.report.methods import in_order, kind_of
from studies.markdown import table
from studies.run_tables import RUNS, STAGES, seconds

NAME = "gemma-3-270m"
# Multiple choice on what the unedited model knows, but for copying, which needs no knowledge.
CHOICES = {
    "forget_known_mcq": "target",
    "forget_named_mcq": "named",
    "forget_otherwise_mcq": "otherwise",
    "forget_copying_mcq": "copying",
    "sibling_known_mcq": "siblings",
    "sibling_copying_mcq": "siblings, copying",
    "other_known_mcq": "others",
    "general_known_mcq": "general",
}
SAID = {"forget": "target", "sibling": "sibling", "general": "general"}
SHOWN = ("npo", "subtree")  # before/after on the first page


@functools.cache
def run() -> Run:
    """The committed run."""
    return read_runs([RUNS / NAME])[0]


def forgetting(level: str) -> Callable[[], str]:
    """A row for every method: shares of right options, perplexity, latents."""

    def of_level() -> str:
        key = "unlearning/{}/" + level
        methods = in_order(run().methods(level))
        shown = [name for name in CHOICES if any(name in run().means(key.format(method)) for method in methods)]
        rows = []
        for method in methods:
            means, stderrs = run().means(key.format(method)), run().stderrs(key.format(method))
            cells = [_share(means, stderrs, name) for name in shown]
            rows.append(
                [f"`{method}`", kind_of(method), *cells, f"{means['perplexity_ratio']:.3f}", f"{means['latents']:.0f}"]
            )
        return table(["method", "kind", *(CHOICES[name] for name in shown), "perplexity ratio", "latents"], rows)

    return of_level


def _share(means: dict[str, float], stderrs: dict[str, float], name: str) -> str:
    if name not in means:
        return "-"
    return f"{means[name]:.2f} ± {1.96 * stderrs[name]:.2f}" if stderrs.get(name) else f"{means[name]:.2f}"


def completions() -> str:
    """What the model goes on with, before and after two methods on the country."""
    found = json.loads((RUNS / NAME / "completions.json").read_text(encoding="utf-8"))["country"]
    rows = [
        [SAID[row["relation"]], row["prompt"], _text(row["before"]), *(_text(row["after"][name]) for name in SHOWN)]
        for row in found["prompts"]
    ]
    return table(["asked about", "prompt", "before", *(f"after `{name}`" for name in SHOWN)], rows)


def _text(text: str) -> str:
    return " ".join(text.replace("|", "/").split()) or "(nothing)"


def layers() -> str:
    """Average precision of a linear classifier at every layer, for the country and the region."""
    found: dict[str, Any] = json.loads((RUNS / NAME / "layers.json").read_text(encoding="utf-8"))["levels"]
    places, head, rows = ("subject", "last", "passage"), ["layer"], []
    for level in reversed(found):
        head += [f"{level}: {place}" for place in places]
    by_layer = zip(*(found[level]["layers"] for level in reversed(found)), strict=True)
    for of_levels in by_layer:
        layer = of_levels[0]["layer"]
        name = "embedding" if layer < 0 else str(layer)
        rows.append([name, *(f"{row[place]:.3f}" for row in of_levels for place in places)])
    for what in ("tfidf", "chance"):
        rows.append([what, *(f"{found[level][what][place]:.3f}" for level in reversed(found) for place in places)])
    return table(head, rows)


def times() -> str:
    """What every stage said and took."""
    taken = seconds(NAME)
    return table(
        ["stage", "minutes", "what it said"],
        [[name, f"{taken[name]['seconds'] / 60:.1f}", taken[name]["summary"]] for name in STAGES],
    )


TABLES: dict[str, Callable[[], str]] = {
    "country": forgetting("country"),
    "region": forgetting("region"),
    "completions": completions,
    "layers": layers,
    "times": times,
}
