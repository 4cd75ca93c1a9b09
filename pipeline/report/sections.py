"""The parts of the page that are words and tables."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from pipeline.report.evidence import Evidence, corrected
from pipeline.report.markup import Markup, joined, table, tag
from pipeline.report.methods import CATEGORY, METHODS, THREAT, absent, in_order, kind_of
from pipeline.report.verdict import GONE, HEAVY, INTERVAL, NEAR_CHANCE, UNHARMED, chosen_methods, verdict

# Column of the trade-off table: final_info's name, its head, scale, digits.
_COLUMNS = (
    ("forget_mcq", "target, choice %", 100, 1),
    ("forget_cloze", "target, cloze %", 100, 1),
    ("novel_cloze", "new templates, cloze %", 100, 1),
    ("sibling_drop", "siblings, loss", 1, 1),
    ("other_drop", "other, loss", 1, 1),
    ("general_drop", "general, loss", 1, 1),
    ("perplexity_ratio", "perplexity ratio", 1, 3),
    ("sibling_precision", "sibling precision", 1, 2),
    ("edit_norm", "edit norm", 1, 2),
    ("latents", "latents", 1, 0),
    ("groups", "groups", 1, 0),
    ("seconds", "seconds", 1, 1),
)


def figure_of(means: Mapping[str, float], stderrs: Mapping[str, float], name: str, scale: float, digits: int) -> str:
    """``27.1 ± 3.0``, the half width of a 95 % interval; a dash for what was not computed."""
    if name not in means:
        return "-"
    value = f"{scale * means[name]:,.{digits}f}"
    return f"{value} ± {INTERVAL * scale * stderrs[name]:.{digits}f}" if name in stderrs else value


_WORTH = {
    "clamp": "which acts at inference only",
    "guard": "which blocks and does not erase",
    "weights": "which changes the weights",
}


def headline(evidence: Evidence) -> Markup:
    """For every target: what was asked to be forgotten, what each chosen method did, in words."""
    return joined(_headline(evidence, level) for level in evidence.levels())


def _headline(evidence: Evidence, level: str) -> Markup:
    before = evidence.means(f"unlearning/none/{level}")
    target = " / ".join(evidence.corpus["targets"][level])
    lines = []
    for method, why in chosen_methods(evidence, level).items():
        means = evidence.means(f"unlearning/{method}/{level}")
        said = verdict(means, evidence.stderrs(f"unlearning/{method}/{level}"), before)
        remains = f" (cloze {100 * means['forget_cloze']:.0f} %, choice {100 * means['forget_mcq']:.0f} %); "
        kind = f" ({why}, {_WORTH[kind_of(method)]})"
        lines.append(
            tag("li", tag("b", method), kind, ": the target is ", tag("b", said.forgot), remains, said.broke, ".")
        )
    known = f"Before: cloze {100 * before['forget_cloze']:.0f} %, choice {100 * before['forget_mcq']:.0f} %."
    return tag("div", tag("h3", f"{level}: ", target), tag("p", known), tag("ul", lines), class_="verdict")


def effects(evidence: Evidence) -> dict[str, str]:
    """Per level what clamping the latents of ``subtree`` does, in one clause."""
    found = {}
    for level in evidence.levels():
        before, after = (evidence.means(f"unlearning/{method}/{level}") for method in ("none", "subtree"))
        if not after:
            continue
        cloze = f"from {before['forget_cloze']:.0%} to {after['forget_cloze']:.0%}"
        sibling = f", the siblings' down by {after['sibling_drop']:.1f} points" if "sibling_drop" in after else ""
        found[level] = f"with the others it takes the target's cloze {cloze}{sibling}"
    return found


def trade_off(evidence: Evidence, level: str) -> Markup:
    """All methods on one target, the controls in the same table."""
    keys = {method: f"unlearning/{method}/{level}" for method in in_order(evidence.methods(level))}
    shown = [column for column in _COLUMNS if any(column[0] in evidence.means(key) for key in keys.values())]
    rows, classes = [], []
    for kind, methods in groupby(keys, kind_of):
        if kind != "reference":
            rows.append([CATEGORY[kind]])
            classes.append("category")
        for method in methods:
            means, stderrs = evidence.means(keys[method]), evidence.stderrs(keys[method])
            name = tag("span", method, title=METHODS[method].what if method in METHODS else None)
            rows.append([name, *(figure_of(means, stderrs, figure, *form) for figure, _, *form in shown)])
            classes.append(kind)
    return joined([table(["method", *(head for _, head, *_ in shown)], rows, classes), _absent(evidence, level)])


def _absent(evidence: Evidence, level: str) -> Markup:
    """The known methods that the table lacks, each with its reason."""
    reasons = absent(evidence.methods(level), level, evidence.params.get("unlearning", {}))
    by_reason: dict[str, list[str]] = {}
    for method, reason in reasons.items():
        by_reason.setdefault(reason, []).append(method)
    rows = [tag("li", tag("code", ", ".join(methods)), f": {reason}") for reason, methods in by_reason.items()]
    return tag("details", tag("summary", f"{len(reasons)} known methods are not in this table"), tag("ul", rows))


def methods_and_threats(evidence: Evidence) -> Markup:
    """What each method is and what its forgetting is worth."""
    used = in_order(sorted({method for level in evidence.levels() for method in evidence.methods(level)}))
    rows = [[name, METHODS[name].what, f"{kind_of(name)}. {THREAT[kind_of(name)]}"] for name in used if name in METHODS]
    rules = (
        f"Forgotten: cloze at most {GONE:.0%} and choice at most {100 * NEAR_CHANCE:.0f} points above chance (25 %), "
        "and not below it by more than its interval. "
        f"Hardly any damage: below {UNHARMED:.0f} points everywhere; heavy: {HEAVY:.0f} points or more. "
        "Every edit was chosen on the dev split; all figures here are of the test split, in wordings that no edit saw."
    )
    return joined([tag("p", rules), table(["method", "what it does", "kind, and what it is worth"], rows)])


def entry_table(evidence: Evidence, key: str) -> Markup:
    """All figures of one entry, each with its 95 % interval where it has one."""
    means, stderrs = evidence.means(key), evidence.stderrs(key)
    return table(["figure", "value"], [[name, figure_of(means, stderrs, name, 1, 3)] for name in means])


def hierarchy(evidence: Evidence) -> Markup:
    """What is said of every cut (groups, stability against nulls, coherence, truth), then of the whole tree."""
    means, stderrs = evidence.means("hierarchy"), evidence.stderrs("hierarchy")
    names = list(dict.fromkeys(name.partition("_level_")[0] for name in means if "_level_" in name))
    levels = [cut["level"] for cut in evidence.groups["cuts"]]
    rows = [
        [
            name,
            *(figure_of(means, stderrs, f"{name}_level_{level}", 1, 0 if name == "groups" else 3) for level in levels),
        ]
        for name in names
    ]
    head = ["", *(f"cut {cut['level']}, r ≥ {cut['correlation']:.2f}" for cut in evidence.groups["cuts"])]
    rest = {name: value for name, value in means.items() if "_level_" not in name}
    of_tree = [[name, figure_of(rest, stderrs, name, 1, 3)] for name in rest]
    return joined([table(head, rows), table(["whole tree", "value"], of_tree)])


def sae_bench(evidence: Evidence) -> Markup:
    """sae-bench's figures of this run."""
    edited = evidence.sae_bench.get("edited", {})
    parts = []
    for name, metrics in evidence.sae_bench.get("metrics", {}).items():
        if name != "sparse_probing" or not evidence.baselines.beside or edited:
            columns = [metrics, *(evals[name] for evals in edited.values())]
            rows = [[metric, *(_four_digits(column.get(metric)) for column in columns)] for metric in metrics]
            parts.append(table([name, "this run", *(f"under {edit}" for edit in edited)], rows))
    for ranking, score in evidence.sae_bench.get("unlearning_corrected", {}).items():
        means, stderrs = corrected(score)
        head = [f"unlearning, corrected, latents as {ranking} ranks them", "this run"]
        parts.append(table(head, [[name, figure_of(means, stderrs, name, 1, 3)] for name in means]))
    for name, reason in evidence.sae_bench.get("failed", {}).items():
        parts.append(tag("p", tag("b", name), " failed: ", reason))
    return joined(parts) if parts or evidence.baselines.beside else tag("p", "sae-bench was not run.")


def world_baseline(evidence: Evidence) -> Markup:
    """Sparse probing of the embedded world: this run's dictionary beside vanilla ones, means over its data sets."""
    own = evidence.sae_bench.get("metrics", {}).get("sparse_probing", {})
    ks = [name.removeprefix("sae_") for name in own if name.startswith("sae_top_")]
    columns = {"this run": own, **evidence.baselines.world}
    rows = [[name, *(_accuracy(means.get(f"sae_{k}")) for k in ks)] for name, means in columns.items()]
    rows.append(["the model's residual stream itself", *(_accuracy(own.get(f"llm_{k}")) for k in ks)])
    head = ["accuracy with the best k latents (dimensions)", *(k.split("_")[1] for k in ks)]
    return table(head, rows) if evidence.baselines.world else Markup("")


def seed_baseline(evidence: Evidence) -> Markup:
    """Sparse probing: this run's figures with the seed's baseline beside them, and what to know of that."""
    rows = [
        [row.dataset, row.metric, *map(_accuracy, (row.llm, row.sae, row.llm_seed, row.sae_seed))]
        for row in evidence.baselines.beside
    ]
    head = ["data set", "metric", "model, this run", "SAE, this run", "model, the seed's", "SAE, the seed's"]
    if not rows:
        rows = [["mean", name, "-", "-", f"{value:.4g}", ""] for name, value in evidence.baselines.seed.items()]
        head[4:] = ["the seed's", ""]
    means, single = [row for row in rows if row[0] == "mean"], [row for row in rows if row[0] != "mean"]
    by_data_set = tag("details", tag("summary", "by data set"), table(head, single))
    known = "; ".join(evidence.baselines.caveats)
    note = (
        "The seed's baseline is sparse probing on google/gemma-2-2b with sae-bench's own data sets. "
        f"Of it one must know: {known}. An untrained SAE, that is; figures on other data do not compare one to one."
    )
    return joined([table(head, means), by_data_set, tag("p", note, class_="soft")])


def _four_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _accuracy(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def times(evidence: Evidence) -> Markup:
    """What each stage took and said."""
    total = sum(row["seconds"] for row in evidence.times)
    rows = [[row["stage"], f"{row['seconds']:,.1f}", row["summary"]] for row in evidence.times]
    return table(["stage", "seconds", "said"], [*rows, ["all", f"{total:,.1f}", ""]])


def settings(params: Mapping[str, Any]) -> Markup:
    """The resolved configuration, section by section, folded."""
    return joined(
        tag("details", tag("summary", section), table(["key", "value"], [[k, str(v)] for k, v in content.items()]))
        for section, content in params.items()
        if isinstance(content, Mapping) and content
    )
