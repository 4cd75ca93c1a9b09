"""The tables of this study, from results/."""

import functools
from collections.abc import Callable
from statistics import mean, median, stdev
from typing import Any

from studies.markdown import grouped, table


def planted(found: dict[str, Any]) -> str:
    """How much of a planted hierarchy each similarity finds, with the bars that were set for one of the settings."""
    bars = {("het", "loevinger_lower"): " (0.95)"}, {("het", "loevinger_lower"): " (0.99)"}, {"het": " (0.95)"}
    lines = []
    for setting, by_similarity in found.items():
        for similarity, score in by_similarity.items():
            group, over = (bar.get((setting, similarity), "") for bar in bars[:2])
            cells = [f"{score['group_ari']:.2f}{group}", f"{score['super_ari']:.2f}{over}"]
            lines.append([setting, similarity, *cells, f"{score['parent_f1']:.2f}{bars[2].get(setting, '')}"])
    return table(["planted", "similarity", "ARI of the groups", "ARI of the families", "F1 of the parents"], lines)


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
    return table(head, lines)


def linkages(found: dict[str, Any]) -> str:
    """Medians over the worlds: quality of each dictionary, AMI of its trees with the true topics, shuffled last."""
    trees = ("token, average", "document, average", "document, complete", "document, ward")
    lines = []
    for variant, rows in grouped(found["rows"], "variant").items():
        quality = [f"{median(row[name] for row in rows):.3f}" for name in ("explained_variance", "spliced_cloze")]
        topics = [f"{median(row['ami'][tree]['topic'] for row in rows):.2f}" for tree in trees]
        shuffled = f"{median(row['ami']['document, average']['topic_null'] for row in rows):.2f}"
        lines.append([variant, *quality, *topics, shuffled])
    return table(["dictionary", "explained variance", "spliced cloze", *trees, "shuffled leaves"], lines)


_LATENTS = {
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


def seeds(found: dict[str, Any]) -> str:
    """Means over pairs of dictionaries: of five seeds, what chance gives beside, and of random directions."""
    columns = (("trained", "trees", "groups"), ("trained", "trees_null", "random"), ("random", "trees", "groups"))
    of_kind = {kind: [row for row in found["pairs"] if row["kind"] == kind] for kind in ("trained", "random")}
    rows = [
        [f"latents: {name}", _over(of_kind["trained"], "features", key), "", _over(of_kind["random"], "features", key)]
        for name, key in _LATENTS.items()
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
    return table(["", "five seeds", "shuffled leaves, random groups", "random dictionaries"], rows)


def _over(rows: list[dict[str, Any]], *path: str | int) -> str:
    """Mean over pairs and half its 95 % interval."""
    values = [functools.reduce(lambda at, key: at[key], path, row) for row in rows]
    return f"{mean(values):.3f} ± {1.96 * stdev(values) / len(values) ** 0.5:.3f}"


# Table -> the result that it is made from, and how.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "linkages": ("linkages", linkages),
    "planted": ("planted", planted),
    "real_codes": ("real_codes", real_codes),
    "seeds": ("seeds", seeds),
}
