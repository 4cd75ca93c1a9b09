"""What the page's tables hold, as rows of plain values; templates/ lays them out and has the words around them."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from pipeline.report.evidence import Evidence, written
from pipeline.report.final_info import corrected
from pipeline.report.methods import CATEGORY, THREAT, WHAT, absent, in_order, kind_of
from pipeline.report.verdict import CANDIDATES, Verdict, chosen_methods, verdict

AREA = "area, dev"
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


_ASKED = {"forget": "the target", "sibling": "a sibling", "general": "general knowledge"}


class Table(NamedTuple):
    """``None`` is what was not computed; a row of one cell heads the rows below it; ``kinds`` are classes of rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    kinds: Sequence[str] = ()


class Outcome(NamedTuple):
    """One method of the headline on one target."""

    method: str
    why: str
    worth: str
    cloze: float
    choice: float
    verdict: Verdict


def entry(evidence: Evidence, key: str) -> Table:
    """All figures of one entry, each with its 95 % interval where it has one."""
    return Table(["figure", "value"], [[name, evidence.written(key, name)] for name in evidence.means(key)])


# --- forgetting ------------------------------------------------------------------------------------------------------


def outcomes(evidence: Evidence, level: str) -> list[Outcome]:
    """What each method did that the headline speaks of."""
    before, found = [of(f"unlearning/none/{level}") for of in (evidence.means, evidence.stderrs)], []
    for method, why in chosen_methods(evidence, level).items():
        means, stderrs = (of(f"unlearning/{method}/{level}") for of in (evidence.means, evidence.stderrs))
        _, worth = CANDIDATES[kind_of(method)]
        judged = verdict(means, stderrs, *before)
        found.append(Outcome(method, why, worth, means["forget_cloze"], means["forget_mcq"], judged))
    return found


def completions(evidence: Evidence, level: str) -> Table:
    """How the model goes on after a few prompts, as it is and under each edit that the headline speaks of."""
    prompts, methods = evidence.completions[level]["prompts"], list(chosen_methods(evidence, level))
    rows = [
        [_ASKED[row["relation"]], row["prompt"], row["answer"], row["before"], *(row["after"].get(m) for m in methods)]
        for row in prompts
    ]
    return Table(["about", "prompt", "right", "before", *methods], rows)


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


def trade_off(evidence: Evidence, level: str) -> Table:
    """All methods on one target, the controls in the same table; last the area under each dev sweep."""
    keys = {method: f"unlearning/{method}/{level}" for method in in_order(evidence.methods(level))}
    shown = [column for column in _COLUMNS if any(column[0] in evidence.means(key) for key in keys.values())]
    rows, kinds = [], []
    for kind, methods in groupby(keys, kind_of):
        if kind != "reference":
            rows.append([CATEGORY[kind]])
            kinds.append("category")
        for method in methods:
            figures = [evidence.written(keys[method], name, digits, scale) for name, _, scale, digits in shown]
            cell = evidence.cells.get((method, level))
            rows.append([method, *figures, f"{cell.area:.2f}" if cell else None])
            kinds.append(kind)
    return Table(["method", *(head for _, head, *_ in shown), AREA], rows, kinds)


def absences(evidence: Evidence, level: str) -> dict[str, list[str]]:
    """Reason -> the known methods that the table of a level lacks for it."""
    by_reason: dict[str, list[str]] = {}
    for method, reason in absent(evidence.methods(level), level, evidence.params.get("unlearning", {})).items():
        by_reason.setdefault(reason, []).append(method)
    return by_reason


def family(evidence: Evidence, prefix: str) -> Table | None:
    """The entries of a family, those of methods in the tables' order; None where it was not measured."""
    names = [key.split("/", 1)[1] for key in evidence.entries if key.startswith(f"{prefix}/")]
    methods = in_order(list(dict.fromkeys(name.split("/")[0] for name in names)))
    names.sort(key=lambda name: (methods.index(name.split("/")[0]), name))
    figures = list(dict.fromkeys(figure for name in names for figure in evidence.means(f"{prefix}/{name}")))
    rows = [
        [name, *(evidence.written(f"{prefix}/{name}", of, 1 if of.endswith("_drop") else 3) for of in figures)]
        for name in names
    ]
    return Table(["", *(figure.replace("_", " ") for figure in figures)], rows) if rows else None


def methods_and_threats(evidence: Evidence) -> Table:
    """What each method is and what its forgetting is worth."""
    used = in_order(sorted({method for level in evidence.levels() for method in evidence.methods(level)}))
    rows = [[name, WHAT[name], f"{kind_of(name)}. {THREAT[kind_of(name)]}"] for name in used if name in WHAT]
    return Table(["method", "what it does", "kind, and what it is worth"], rows)


# --- sae-bench -------------------------------------------------------------------------------------------------------


def sae_bench(evidence: Evidence) -> list[Table]:
    """sae-bench's figures of this run; those of sparse probing only where they are not beside a baseline."""
    edited, tables = evidence.sae_bench.get("edited", {}), []
    for name, metrics in evidence.sae_bench.get("metrics", {}).items():
        if name != "sparse_probing" or not evidence.baselines.beside or edited:
            columns = [metrics, *(evals[name] for evals in edited.values())]
            rows = [[metric, *(_rounded(column.get(metric), ".4g") for column in columns)] for metric in metrics]
            tables.append(Table([name, "this run", *(f"under {edit}" for edit in edited)], rows))
    for ranking, score in evidence.sae_bench.get("unlearning_corrected", {}).items():
        means, stderrs = corrected(score)
        head = [f"unlearning, corrected, latents as {ranking} ranks them", "this run"]
        tables.append(Table(head, [[name, written(means, stderrs, name)] for name in means]))
    return tables


def world_baseline(evidence: Evidence) -> Table | None:
    """Sparse probing of the embedded world: this run's dictionary beside vanilla ones, means over its data sets."""
    own = evidence.sae_bench.get("metrics", {}).get("sparse_probing", {})
    ks = [name.removeprefix("sae_") for name in own if name.startswith("sae_top_")]
    columns = {"this run": own, **evidence.baselines.world}
    rows = [[name, *(_rounded(means.get(f"sae_{k}")) for k in ks)] for name, means in columns.items()]
    rows.append(["the model's residual stream itself", *(_rounded(own.get(f"llm_{k}")) for k in ks)])
    head = ["accuracy with the best k latents (dimensions)", *(k.split("_")[1] for k in ks)]
    return Table(head, rows) if evidence.baselines.world else None


def seed_baseline(evidence: Evidence) -> tuple[Table, Table]:
    """Sparse probing with the seed's baseline beside this run's figures: the means, then every data set."""
    rows = [
        [row.dataset, row.metric, *map(_rounded, (row.llm, row.sae, row.llm_seed, row.sae_seed))]
        for row in evidence.baselines.beside
    ]
    head = ["data set", "metric", "model, this run", "SAE, this run", "model, the seed's", "SAE, the seed's"]
    if not rows:
        rows = [["mean", name, f"{value:.4g}"] for name, value in evidence.baselines.seed.items()]
        head = ["data set", "metric", "the seed's"]
    means, single = [row for row in rows if row[0] == "mean"], [row for row in rows if row[0] != "mean"]
    return Table(head, means), Table(head, single)


def _rounded(value: float | None, form: str = ".3f") -> str | None:
    return None if value is None else f"{value:{form}}"


# --- provenance ------------------------------------------------------------------------------------------------------


def times(evidence: Evidence) -> Table:
    """What each stage took and said."""
    total = sum(row["seconds"] for row in evidence.times)
    rows = [[row["stage"], f"{row['seconds']:,.1f}", row["summary"]] for row in evidence.times]
    return Table(["stage", "seconds", "said"], [*rows, ["all", f"{total:,.1f}", ""]])


def machine(evidence: Evidence) -> Table:
    """The settings of the section ``machine`` that were in force, and in which stages: they are no part of a result."""
    stages: dict[str, list[str]] = {}
    for row in evidence.times:
        stages.setdefault(", ".join(f"{key} {value}" for key, value in row["machine"].items()), []).append(row["stage"])
    return Table(["stages", "machine"], [[", ".join(names), settings] for settings, names in stages.items()])


def settings(params: Mapping[str, Any]) -> dict[str, Table]:
    """The resolved configuration, section by section."""
    return {
        section: Table(["key", "value"], [[key, str(value)] for key, value in content.items()])
        for section, content in params.items()
        if isinstance(content, Mapping) and content
    }
