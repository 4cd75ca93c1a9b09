"""The tables of this study, from results/; intervals are 95 % percentile intervals over 2,000 draws of classes."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.unlearning.methods import METHODS
from studies.atlas.country_tables import by_country, countries
from studies.atlas.lasting_tables import generalisation, robustness
from studies.markdown import grouped, table

Row = dict[str, Any]
TREES = {"token": "tokens (of the run)", "document": "documents (of the run)", "freed": "passages, ten components out"}
QUESTIONS = {"country": "the rest of the country", "unnamed": "what does not name it", "region": "its region's rest"}


def trees(found: dict[str, Any]) -> str:
    """Best latent, best node, and the best node of the shuffled tree, by level."""
    lines = []
    for level, of_level in grouped(found["rows"], "level").items():
        for name, rows in grouped(of_level, "tree").items():
            chance, single, node, shuffled = (
                np.array([row[key] for row in rows]) for key in ("chance", "single", "node", "shuffled")
            )
            figures = [with_interval(values) for values in (single, node, shuffled)]
            lines.append([level, TREES[name], f"{chance.mean():.3f}", *figures, difference(node, shuffled)])
    return table(["class", "tree", "chance", "best latent", "best node", "shuffled leaves", "node - shuffled"], lines)


def finding(found: dict[str, Any]) -> str:
    """Average precision on the countries that chose nothing, with the components that the others chose."""
    by_name = grouped(found["rows"], "retriever")
    ranked = {name: {q: chosen(rows, q) for q in QUESTIONS} for name, rows in by_name.items()}
    lines = []
    for name, of_question in ranked.items():
        cells = []
        for removed, values in of_question.values():
            cells.append(f"{with_interval(values)} (-{removed})" if name != "tfidf" else with_interval(values))
        lines.append([f"`{name}`", *cells])
    return table(["ranked by", *QUESTIONS.values()], lines)


PAIRS = (
    ("latents", "tfidf"),
    ("latents_nodes", "residual"),
    ("latents_nodes", "latents"),
    ("latents_nodes", "shuffled"),
    ("neighbours", "latents_nodes"),
    ("all", "residual"),
    ("all", "all_shuffled"),
)


def finding_pairs(found: dict[str, Any]) -> str:
    """Paired differences of what matters, over the same countries."""
    by_name = grouped(found["rows"], "retriever")
    lines = [
        [f"`{ours}` - `{theirs}`"]
        + [difference(chosen(by_name[ours], q)[1], chosen(by_name[theirs], q)[1]) for q in QUESTIONS]
        for ours, theirs in PAIRS
    ]
    return table(["difference", *QUESTIONS.values()], lines)


def chosen(rows: Sequence[Row], question: str) -> tuple[int, np.ndarray]:
    """The components removed that are best on half of the countries, and the average precisions of the others."""
    names = sorted(rows[0]["values"][question])
    dev = {name for name in names if hashlib.sha256(name.encode()).digest()[0] % 2}
    best = max(rows, key=lambda row: np.mean([row["values"][question][name] for name in sorted(dev)]))
    return best["removed"], np.array([best["values"][question][name] for name in names if name not in dev])


def seeds(found: dict[str, Any]) -> str:
    """Nodes and rankings by other dictionaries: means of each, and what the tree adds."""
    lines = []
    for row in found["rows"]:
        pairs = {(one, two): of for one, two, of in row["pairs"]}
        nodes = [f"{row['trees'][level][key]:.3f}" for level in ("country", "region") for key in ("node", "shuffled")]
        ranked = [f"{row['finding'][name]['country']:.3f}" for name in ("latents", "latents_nodes", "residual", "all")]
        added = [pairs["latents_nodes", "shuffled"][q] for q in ("country", "region")]
        lines.append([str(row["seed"]), *nodes, *ranked, *added])
    head = [
        "seed",
        "country: node",
        "shuffled",
        "region: node",
        "shuffled",
        "`latents`",
        "`latents_nodes`",
        "`residual`",
    ]
    return table([*head, "`all`", "nodes - shuffled, country", "nodes - shuffled, region"], lines)


FIGURES = {
    "explained_variance": "explained variance",
    "explained_variance_without_outlying": "without outlying dimensions",
    "explained_variance_per_dimension": "mean over dimensions",
    "l0": "L0",
    "dead_share": "dead",
    "dense_share": "on > 50 % of tokens",
    "ce_loss_recovered": "loss recovered",
    "spliced_known_mcq": "known facts, spliced",
    "known_mcq": "known facts, unedited",
}


def dictionaries(found: dict[str, Any]) -> str:
    """A row for every dictionary."""
    lines = [
        [
            row["dictionary"],
            *(f"{row['means'][name]:.3f}" for name in FIGURES),
            *(f"{row['unseen'][name]:.3f}" if "unseen" in row else "-" for name in ("spliced", "unedited")),
            str(row["seconds"]),
        ]
        for row in found["rows"]
    ]
    unseen = "dev facts, spliced", "dev facts, unedited"
    return table(["dictionary", *FIGURES.values(), *unseen, "CPU seconds of training"], lines)


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
SHOWN = ("npo", "subtree")  # whose texts stand beside those of the unedited model


def country(found: dict[str, Any]) -> str:
    """A row for every method on the country: shares of right options, perplexity, latents."""
    return _forgetting(found, "country")


def region(found: dict[str, Any]) -> str:
    """The same on the region."""
    return _forgetting(found, "region")


def _forgetting(found: dict[str, Any], level: str) -> str:
    rows = [row for row in found["rows"] if row["level"] == level and "means" in row]
    shown = [name for name in CHOICES if any(name in row["means"] for row in rows)]
    lines = []
    for row in sorted(rows, key=lambda row: list(METHODS).index(row["method"]) if row["method"] in METHODS else -1):
        means, stderrs = row["means"], row["stderrs"]
        cells = [share(means[name], stderrs.get(name)) if name in means else "-" for name in shown]
        lines.append([f"`{row['method']}`", *cells, f"{means['perplexity_ratio']:.3f}", f"{means['latents']:.0f}"])
    return table(["method", *(CHOICES[name] for name in shown), "perplexity ratio", "latents"], lines)


def share(mean: float, stderr: float | None) -> str:
    """A share and half its 95 % interval, left out where there is a single fact or all agree."""
    return f"{mean:.2f} ± {1.96 * stderr:.2f}" if stderr else f"{mean:.2f}"


def completions(found: dict[str, Any]) -> str:
    """What the model goes on with, before and after two methods on the country."""
    kept = next(row["completions"] for row in found["rows"] if row["level"] == "country" and "completions" in row)
    lines = [
        [SAID[row["relation"]], row["prompt"], said(row["before"]), *(said(row["after"][name]) for name in SHOWN)]
        for row in kept["prompts"]
    ]
    return table(["about", "prompt", "before", *(f"after `{name}`" for name in SHOWN)], lines)


def said(text: str) -> str:
    """A text in a cell of a table."""
    return " ".join(text.replace("|", "/").replace("<", "&lt;").split()) or "(nothing)"


def layers(found: dict[str, Any]) -> str:
    """Average precision of a linear classifier at every layer, for the country and the region."""
    levels = dict(reversed(found["rows"][0]["levels"].items()))
    places = ("subject", "last", "passage")
    lines = [
        ["embedding" if of[0]["layer"] < 0 else str(of[0]["layer"]), *(f"{row[p]:.3f}" for row in of for p in places)]
        for of in zip(*(level["layers"] for level in levels.values()), strict=True)
    ]
    for what in ("tfidf", "chance"):
        lines.append([what, *(f"{level[what][place]:.3f}" for level in levels.values() for place in places)])
    return table(["layer", *(f"{name}: {place}" for name in levels for place in places)], lines)


def stages(found: dict[str, Any]) -> str:
    """What every stage said and took, in the order of the pipeline."""
    by_name = {row["stage"]: row for row in found["rows"]}
    names = ("prepare", "cache_activations", "train_sae", "encode_features", "correlate", "build_dendrogram")
    names += ("unlearn", "evaluate", "report")
    lines = [[name, f"{by_name[name]['seconds'] / 60:.1f}", by_name[name]["summary"]] for name in names]
    return table(["stage", "minutes", "what it said"], lines)


def with_interval(values: np.ndarray) -> str:
    """The mean and its interval."""
    low, high = np.percentile(resampled(values), [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """The mean of paired differences and its interval."""
    low, high = np.percentile(resampled(ours - theirs), [2.5, 97.5])
    return f"{(ours - theirs).mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def resampled(values: np.ndarray) -> np.ndarray:
    """Means of 2,000 draws with replacement."""
    rng = np.random.default_rng(0)
    return values[rng.integers(0, len(values), (2000, len(values)))].mean(1)


# Table -> the result that it is made from, and how.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "trees": ("trees", trees),
    "finding": ("finding", finding),
    "finding_pairs": ("finding", finding_pairs),
    "seeds": ("seeds", seeds),
    "dictionaries": ("dictionaries", dictionaries),
    "country": ("forgetting", country),
    "region": ("forgetting", region),
    "completions": ("forgetting", completions),
    "countries": ("countries", countries),
    "by_country": ("countries", by_country),
    "generalisation": ("generalisation", generalisation),
    "robustness": ("robustness", robustness),
    "layers": ("layers", layers),
    "stages": ("stages", stages),
}
