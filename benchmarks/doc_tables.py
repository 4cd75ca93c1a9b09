"""The tables of docs/, from the results beside this file and from the study's.

    uv run python -m benchmarks.doc_tables

rewrites what stands between `<!-- table NAME -->` and `<!-- end -->` in docs/*.md; a test compares.
"""

import functools
import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from studies.world import tables as study_tables

ROOT = Path(__file__).resolve().parent.parent
TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def store_speed(found: dict[str, Any]) -> str:
    """The store against its peer and its limits, with the bars that were set for it."""
    writing, loading = found["writing"], found["loading"]
    rows = [
        ["writing, against SAELens in float32", writing["ratio_to_sae_lens_float32"], 8],
        ["writing, against SAELens in float16", writing["ratio_to_sae_lens_float16"], 5],
        ["loading shuffled batches, against SAELens", loading["ratio_to_sae_lens"], 12],
        ["training fed from disk, against from memory", found["training"]["ratio_disk_to_memory"], 0.97],
        ["caching, against its forward passes alone", found["caching"]["ratio_whole_to_bare"], 0.95],
    ]
    return markdown(["measure", "ratio", "bar"], [[name, f"{ratio:.2f}", str(bar)] for name, ratio, bar in rows])


def store_compression(found: dict[str, Any]) -> str:
    """What each form of the store costs on disk, in reading, and in a dictionary trained from it."""
    rows = [
        [
            row["form"],
            f"{row['bytes_per_row']:.0f}",
            f"{row['bytes_per_row'] / found['table'][0]['bytes_per_row']:.0%}",
            f"{row['read_cpu_s_per_gb']:.2f}",
            f"{row['explained_variance']:.4f}",
        ]
        for row in found["table"]
    ]
    head = ["form", f"bytes a row (d = {found['d_model']})", "size", "CPU s to read a GB", "explained variance"]
    return markdown(head, rows)


def store_memory(found: dict[str, Any]) -> str:
    """Peak memory of a process that loads and runs the first layers."""
    peaks = found["peak_mb_by_layers_loaded"]
    return markdown(["layers loaded", "peak, GB"], [[n, f"{mb / 1e3:.2f}"] for n, mb in peaks.items()])


def correlation(found: dict[str, Any]) -> str:
    """Cost of the pair sums and of the tree."""
    said = ("wall_s", "cpu_s", "peak_gib", "load")
    rows = [
        [case, *(str(row[name]) for name in said), ", ".join(f"{k} {v}" for k, v in row.items() if k not in said)]
        for case, row in found.items()
    ]
    return markdown(["case", "wall s", "CPU s", "peak GiB", "load", ""], rows)


def correlation_planted(found: dict[str, Any]) -> str:
    """How much of a planted hierarchy each similarity finds, with the bars that were set for one of the settings."""
    bars = {("het", "loevinger_lower"): " (0.95)"}, {("het", "loevinger_lower"): " (0.99)"}, {"het": " (0.95)"}
    lines = []
    for setting, by_similarity in found.items():
        for similarity, score in by_similarity.items():
            group, over = (bar.get((setting, similarity), "") for bar in bars[:2])
            cells = [f"{score['group_ari']:.2f}{group}", f"{score['super_ari']:.2f}{over}"]
            lines.append([setting, similarity, *cells, f"{score['parent_f1']:.2f}{bars[2].get(setting, '')}"])
    return markdown(["planted", "similarity", "ARI of the groups", "ARI of the families", "F1 of the parents"], lines)


def real_codes(found: dict[str, Any]) -> str:
    """Giant component and significance on codes of trained dictionaries."""
    lines, thresholds = [], list(next(iter(found.values()))[0]["giant"])
    for name, scales in found.items():
        for row in scales:
            null = " ".join(map(str, row["significant_in_null"]))
            counts = [f"{row[key]:,}" for key in ("units", "clustered", "pairs", "significant")]
            shares = [f"{row['giant'][threshold]:.0%}" for threshold in thresholds]
            lines.append([f"{name}, {row['scale']}", *counts, null, *shares])
    head = ["codes", "units", "latents", "pairs", "significant", "in 5 nulls", *(f"r > {t}" for t in thresholds)]
    return markdown(head, lines)


def world_tree(found: dict[str, Any]) -> str:
    """Medians over the worlds: quality of each dictionary, AMI of its trees with the true topics, shuffled last."""
    by_variant = defaultdict(list)
    for row in found["rows"]:
        by_variant[row["variant"]].append(row)
    trees = ("token, average", "document, average", "document, complete", "document, ward")
    lines = []
    for variant, rows in by_variant.items():
        quality = [f"{median(row[name] for row in rows):.3f}" for name in ("explained_variance", "spliced_cloze")]
        topics = [f"{median(row['ami'][tree]['topic'] for row in rows):.2f}" for tree in trees]
        shuffled = f"{median(row['ami']['document, average']['topic_null'] for row in rows):.2f}"
        lines.append([variant, *quality, *topics, shuffled])
    return markdown(["dictionary", "explained variance", "spliced cloze", *trees, "shuffled leaves"], lines)


def scope(found: dict[str, Any]) -> str:
    """Mean average precision, paired differences with 95 % intervals over topics, and the borders' precision."""
    by_name = defaultdict(list)
    for row in found["rows"]:
        by_name[row["retriever"]].append(row)
    ranked = {name: topic_means([row["average_precision"] for row in rows]) for name, rows in by_name.items()}
    beside = ("flat", "shuffled_tree", "residual")
    lines = []
    for name, rows in by_name.items():
        minus = [difference(ranked[name], ranked[other]) if name != other else "" for other in beside]
        levels = ("entity", "topic", "domain")
        borders = [f"{mean(v for row in rows for v in row[f'border_precision_{level}']):.2f}" for level in levels]
        lines.append([f"`{name}`", f"{mean(ranked[name]):.3f}", *minus, *borders])
    head = ["retriever", "average precision", *(f"minus `{name}`" for name in beside), "entity", "topic", "domain"]
    return markdown(head, lines)


def topic_means(seeds: list[list[float]], draws: int = 3) -> list[float]:
    """Means over the draws of each topic; a seed's values are listed draw by draw."""
    return [mean(values[t :: len(values) // draws]) for values in seeds for t in range(len(values) // draws)]


def difference(ours: list[float], theirs: list[float]) -> str:
    """Mean of the paired differences and half its 95 % interval."""
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    return f"{mean(gains):+.3f} ± {1.96 * stdev(gains) / len(gains) ** 0.5:.3f}"


def report_sizes(found: dict[str, Any]) -> str:
    """The page of the report with trees of different size."""
    said = ("nodes_on_the_page", "page_mb", "cpu_s")
    rows = [
        [
            f"{row['latents']:,}",
            *(str(row[name]) for name in said),
            *(str(row[window][name]) for window in ("desk", "phone") for name in ("first_picture_ms", "answers_ms")),
        ]
        for row in found["rows"]
    ]
    head = ["latents", "nodes on the page", "MB", "CPU s to make the tree"]
    return markdown(
        [*head, "desk: first picture, ms", "a search, ms", "phone: first picture, ms", "a search, ms"], rows
    )


def inspect_speed(found: dict[str, Any]) -> str:
    """Seconds of every question to stages.inspect."""
    rows = [[f"`{row['question']}`", f"{row['cpu_s']:.2f}", f"{row['wall_s']:.2f}"] for row in found["rows"]]
    return markdown(["question", "CPU s", f"wall s, at load {found['load']}"], rows)


def sae_world(found: dict[str, Any]) -> str:
    """Medians over the worlds that every objective was trained on; nulls (shuffled leaves) in brackets."""
    by_variant = _by_variant(found)
    common = set.intersection(*({row["seed"] for row in rows} for rows in by_variant.values()))
    plain = ("explained_variance", "l0", "dead_share", "ce_loss_recovered", "spliced_cloze")
    silent = ("absorption_token", "absorption_document")
    against_null = ("topic_ami", "parent_f1", "ari", "cophenetic")
    lines = []
    for variant, every in by_variant.items():
        rows = [row for row in every if row["seed"] in common]
        cells = [_median(rows, name, digits) for name, digits in zip(plain, (3, 1, 3, 4, 3), strict=True)]
        cells += [_median(rows, name, 2) for name in silent]
        cells += [f"{_median(rows, name, 2)} ({_median(rows, f'{name}_null', 2)})" for name in against_null]
        lines.append([variant, str(len(rows)), *cells])
    head = ["objective", "worlds", "explained variance", "L0", "dead", "CE recovered", "spliced cloze"]
    head += ["parent silent, tokens", "documents", "topic AMI", "parent F1", "ARI", "cophenetic"]
    return markdown(head, lines)


PAIRED = {
    "explained_variance": "explained variance",
    "spliced_cloze": "spliced cloze",
    "absorption_token": "parent silent, tokens",
    "absorption_document": "parent silent, documents",
    "topic_ami": "topic AMI",
    "parent_f1": "parent F1",
    "ari": "ARI",
    "cophenetic": "cophenetic",
}


def sae_world_penalty(found: dict[str, Any]) -> str:
    """World by world: plain BatchTopK, then with the default penalty."""
    by_variant = _by_variant(found)
    plain, penalised = ({row["seed"]: row for row in by_variant[v]} for v in ("BatchTopK", "penalty 0.03, r 0.5"))
    seeds = sorted(plain.keys() & penalised.keys())
    lines = [
        [said, *(f"{plain[seed][name]:.3f}, {penalised[seed][name]:.3f}" for seed in seeds)]
        for name, said in PAIRED.items()
    ]
    return markdown(["without, with penalty 0.03", *(f"seed {seed}" for seed in seeds)], lines)


def _by_variant(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    by_variant = defaultdict(list)
    for row in found["rows"]:
        by_variant[row["variant"]].append(row)
    return by_variant


def _median(rows: list[dict[str, Any]], name: str, digits: int) -> str:
    known = [row[name] for row in rows if row.get(name) is not None]
    return f"{median(known):.{digits}f}" if known else "-"


def sae_speed(found: dict[str, Any]) -> str:
    """A training step against the limit and the peers, with the bars that were set."""
    bars = {
        (256, 2304, 4096, 32): (2.5, 6, 5),
        (2304, 2304, 4096, 64): (2.2, 3.3, 3.3),
        (2304, 16384, 512, 64): (2.2, 3.5, 4),
    }
    lines = []
    for row in found["shapes"]:
        asked = bars.get(tuple(row["shape"]), (None,) * 3)
        ratios = [row["ratio"].get(peer) for peer in ("limit", "sae_lens", "dictionary_learning")]
        cells = [
            "not measured" if ratio is None else f"{ratio:.2f}" + (f" ({bar})" if bar else "")
            for ratio, bar in zip(ratios, asked, strict=True)
        ]
        shape = ", ".join(map(str, row["shape"]))
        lines.append([shape, f"{row['tokens_per_cpu_second']:,}", *cells, str(row["load"])])
    peers = [f"against {name} (bar)" for name in ("the limit", "SAELens", "dictionary_learning")]
    return markdown(["D, F, batch, k", "tokens a CPU second", *peers, "load"], lines)


def sae_synthetic(found: dict[str, Any]) -> str:
    """Medians over the seeds; scores of shuffled leaves in brackets."""
    by_architecture = defaultdict(list)
    for row in found["rows"]:
        by_architecture[row["architecture"]].append(row)
    lines = []
    for architecture, rows in by_architecture.items():
        cells = [_median(rows, name, 3) for name in ("f1", "mcc", "explained_variance")]
        cells += [_median(rows, "l0", 1), _median(rows, "matched", 0)]
        cells += [_median(rows, "parent_f1", 2), _median(rows, "absorption", 2)]
        cells += [
            f"{_median(rows, name, 2)} ({_median(rows, f'{name}_null', 2)})"
            for name in ("triplets", "purity_1", "purity_2")
        ]
        lines.append([architecture, str(len(rows)), *cells])
    head = ["architecture", "seeds", "F1", "MCC", "explained variance", "L0", "matched latents"]
    return markdown([*head, "parent F1", "parent silent", "triplets", "purity, depth 1", "depth 2"], lines)


_FEATURES = {
    "absolute cosine with the partner by decoder (PW-MCC)": "pw_mcc",
    "share below 0.7": "share_unstable",
    "correlation of codes with the partner by code": "code_correlation",
}
_TREES = {
    **{f"ARI, cut {level}": f"ari_level_{level}" for level in (1, 2, 3)},
    **{f"AMI, cut {level}": f"ami_level_{level}" for level in (1, 2, 3)},
    "cophenetic correlation": "cophenetic",
    "Baker's gamma": "bakers_gamma",
    "triplets": "triplets",
    "Fowlkes-Mallows": "bk",
}
_GROUPS = {
    "correlation of summed codes": "correlation",
    "the same of their members one by one": "members_correlation",
    "overlap of spans": "overlap",
    "unstable members: squared cosine with the partner": "unstable_overlap",
    "captured by the group": "unstable_captured",
    "captured by partner and random others": "unstable_captured_by_partner",
}


def hierarchy_stability(found: dict[str, Any]) -> str:
    """Means over pairs of dictionaries: of five seeds, what chance gives beside, and of random directions."""
    columns = (("trained", "trees", "groups"), ("trained", "trees_null", "random"), ("random", "trees", "groups"))
    of_kind = {kind: [row for row in found["pairs"] if row["kind"] == kind] for kind in ("trained", "random")}
    rows = [
        [f"features: {name}", _over(of_kind["trained"], "features", key), "", _over(of_kind["random"], "features", key)]
        for name, key in _FEATURES.items()
    ]
    rows += [
        [f"trees: {name}", *(_over(of_kind[kind], tree, key) for kind, tree, _ in columns)]
        for name, key in _TREES.items()
    ]
    for level, cut in enumerate(found["cuts"]):
        rows += [
            [
                f"r ≥ {cut:.2f}: {name}",
                *(_over(of_kind[kind], "levels", level, group, key) for kind, _, group in columns),
            ]
            for name, key in _GROUPS.items()
        ]
    return markdown(["", "five seeds", "shuffled leaves, random groups", "random dictionaries"], rows)


def _over(rows: list[dict[str, Any]], *path: str | int) -> str:
    """Mean over pairs and its standard error."""
    values = [functools.reduce(lambda at, key: at[key], path, row) for row in rows]
    return f"{mean(values):.3f} ± {stdev(values) / len(values) ** 0.5:.3f}"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "store_speed": store_speed,
    "store_compression": store_compression,
    "store_memory": store_memory,
    "correlation": correlation,
    "correlation_planted": correlation_planted,
    "real_codes": real_codes,
    "world_tree": world_tree,
    "hierarchy_stability": hierarchy_stability,
    "scope": scope,
    "report_sizes": report_sizes,
    "inspect_speed": inspect_speed,
    "sae_world": sae_world,
    "sae_world_penalty": sae_world_penalty,
    "sae_synthetic": sae_synthetic,
    "sae_speed": sae_speed,
}


TABLES |= study_tables.TABLES
# Where the results of a table are, if not in benchmarks/ under its name.
RESULTS = {name: f"docs/study/{study_tables.KINDS[name]}.json" for name in study_tables.TABLES}
RESULTS |= {"sae_world_penalty": "benchmarks/sae_world.json"}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def result_of(table: str) -> Path:
    """The file that a table is made from."""
    return ROOT / RESULTS.get(table, f"benchmarks/{table}.json")


def filled(page: str) -> str:
    """The page with every table made anew."""

    def fill(match: re.Match[str]) -> str:
        found = json.loads(result_of(match[2]).read_text(encoding="utf-8"))
        return f"{match[1]}{TABLES[match[2]](found)}\n{match[3]}"

    return TABLE.sub(fill, page)


def main() -> None:
    for path in sorted((ROOT / "docs").glob("*.md")):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
