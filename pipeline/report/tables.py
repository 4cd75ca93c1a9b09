"""What the page's tables hold, as rows of plain values; templates/ lays them out and has the words around them."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from pipeline.report.evidence import Evidence, written
from pipeline.report.final_info import corrected
from pipeline.report.meanings import label, meaning
from pipeline.report.methods import CATEGORY, THREAT, WHAT, absent, in_order, kind_of

# Columns of the tables of all methods: final_info's name, its head, scale, digits; first what matters, then the rest.
_MAIN = (
    ("forget_mcq", "multiple choice on the target, %", 100, 1),
    ("forget_cloze", "facts completed, target, %", 100, 1),
    ("sibling_drop", "siblings lose, points", 1, 1),
    ("other_drop", "others lose, points", 1, 1),
    ("general_drop", "general facts lose, points", 1, 1),
)
_REST = (
    ("novel_cloze", "facts completed, new templates, %", 100, 1),
    ("worst_sibling_drop", "worst sibling loses, points", 1, 1),
    ("sibling_precision", "share of damage on target", 1, 2),
    ("perplexity_ratio", "perplexity, after / before", 1, 3),
    ("edit_norm", "size of the edit", 1, 2),
    ("latents", "latents", 1, 0),
    ("groups", "groups", 1, 0),
    ("seconds", "seconds", 1, 1),
)


class Table(NamedTuple):
    """``None`` is what was not computed; a row of one cell heads the rows below it; ``kinds`` are classes of rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    kinds: Sequence[str] = ()


def entry(evidence: Evidence, key: str) -> Table:
    """All figures of one entry in words, each with its 95 % interval where it has one, and what it means."""
    rows = [[label(name), evidence.written(key, name), meaning(name).says] for name in evidence.means(key)]
    return Table(["figure", "value", "what it means"], rows)


# --- forgetting ------------------------------------------------------------------------------------------------------


def all_methods(evidence: Evidence, level: str) -> Table:
    """All methods on one target by what they forgot and damaged, the controls in the same table."""
    return _of_methods(evidence, level, _MAIN)


def rest_of_methods(evidence: Evidence, level: str) -> Table:
    """What else is known of each method; last the area under its dev sweep."""
    head, rows, kinds = _of_methods(evidence, level, _REST)
    cells = [evidence.cells.get((str(row[0]), level)) for row in rows]
    more = [
        row if len(row) == 1 else [*row, f"{cell.area:.2f}" if cell else None]
        for row, cell in zip(rows, cells, strict=True)
    ]
    return Table([*head, "area, dev"], more, kinds)


def _of_methods(evidence: Evidence, level: str, columns: Sequence[tuple[str, str, int, int]]) -> Table:
    keys = {method: f"unlearning/{method}/{level}" for method in in_order(evidence.methods(level))}
    shown = [column for column in columns if any(column[0] in evidence.means(key) for key in keys.values())]
    rows: list[list[str | None]] = []
    kinds: list[str] = []
    for kind, methods in groupby(keys, kind_of):
        if kind != "reference":
            rows.append([CATEGORY[kind]])
            kinds.append("category")
        for method in methods:
            rows.append(
                [method, *(evidence.written(keys[method], name, digits, scale) for name, _, scale, digits in shown)]
            )
            kinds.append(kind)
    return Table(["method", *(head for _, head, *_ in shown)], rows, kinds)


def refits(evidence: Evidence, level: str) -> Table | None:
    """Where nine of ten fits of other worlds and targets lie, for the methods of a level that were fitted there."""
    known = evidence.refits(level)
    rows = [
        [
            method,
            str(known[method]["fits"]),
            *(_range(known[method].get(name), scale, d) for name, _, scale, d in _MAIN),
        ]
        for method in in_order(evidence.methods(level))
        if method in known
    ]
    return Table(["method", "fits", *(head for _, head, *_ in _MAIN)], rows) if rows else None


def _range(ends: Sequence[float] | None, scale: float, digits: int) -> str | None:
    return None if ends is None else " to ".join(f"{scale * end:.{digits}f}" for end in ends)


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
    return Table(["", *map(label, figures)], rows) if rows else None


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
            rows = [
                [label(metric), *(_rounded(column.get(metric), ".4g") for column in columns), meaning(metric).says]
                for metric in metrics
            ]
            head = [name.replace("_", " "), "this run", *(f"under {edit}" for edit in edited), "what it means"]
            tables.append(Table(head, rows))
    for ranking, score in evidence.sae_bench.get("unlearning_corrected", {}).items():
        means, stderrs = corrected(score)
        head = [f"unlearning, corrected, latents as {ranking} ranks them", "this run", "what it means"]
        rows = [[label(name), written(means, stderrs, name), meaning(name).says] for name in means]
        tables.append(Table(head, rows))
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
    """Sparse probing with the vanilla baseline beside this run's figures: the means, then every data set."""
    rows = [
        [
            row.dataset.removesuffix("_results"),
            label(row.metric),
            *map(_rounded, (row.llm, row.sae, row.llm_seed, row.sae_seed)),
        ]
        for row in evidence.baselines.beside
    ]
    head = ["data set", "metric", "model, this run", "SAE, this run", "model, baseline", "SAE, baseline"]
    if not rows:
        rows = [["mean", label(name), f"{value:.4g}"] for name, value in evidence.baselines.seed.items()]
        head = ["data set", "metric", "baseline"]
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
