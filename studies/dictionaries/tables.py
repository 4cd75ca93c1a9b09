"""The tables of this study, from results/."""

from collections.abc import Callable
from typing import Any

from studies.markdown import grouped, middle, table


def objectives(found: dict[str, Any]) -> str:
    """Medians over the worlds that every objective was trained on; nulls (shuffled leaves) in brackets."""
    by_variant = grouped(found["rows"], "variant")
    common = set.intersection(*({row["seed"] for row in rows} for rows in by_variant.values()))
    plain = ("explained_variance", "l0", "dead_share", "ce_loss_recovered", "spliced_cloze")
    silent = ("absorption_token", "absorption_document")
    against_null = ("topic_ami", "parent_f1", "ari", "cophenetic")
    lines = []
    for variant, every in by_variant.items():
        rows = [row for row in every if row["seed"] in common]
        cells = [middle(rows, name, digits) for name, digits in zip(plain, (3, 1, 3, 4, 3), strict=True)]
        cells += [middle(rows, name, 2) for name in silent]
        cells += [f"{middle(rows, name, 2)} ({middle(rows, f'{name}_null', 2)})" for name in against_null]
        lines.append([variant, str(len(rows)), *cells])
    head = ["objective", "worlds", "explained variance", "L0", "dead", "CE recovered", "spliced cloze"]
    head += ["parent silent, tokens", "documents", "topic AMI", "parent F1", "ARI", "cophenetic"]
    return table(head, lines)


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


def penalty(found: dict[str, Any]) -> str:
    """World by world: plain BatchTopK, then with the default penalty."""
    by_variant = grouped(found["rows"], "variant")
    plain, penalised = ({row["seed"]: row for row in by_variant[v]} for v in ("BatchTopK", "penalty 0.03, r 0.5"))
    seeds = sorted(plain.keys() & penalised.keys())
    lines = [
        [said, *(f"{plain[seed][name]:.3f}, {penalised[seed][name]:.3f}" for seed in seeds)]
        for name, said in PAIRED.items()
    ]
    return table(["without, with penalty 0.03", *(f"seed {seed}" for seed in seeds)], lines)


def known_features(found: dict[str, Any]) -> str:
    """Medians over the seeds; scores of shuffled leaves in brackets."""
    by_architecture = grouped(found["rows"], "architecture")
    lines = []
    for architecture, rows in by_architecture.items():
        cells = [middle(rows, name, 3) for name in ("f1", "mcc", "explained_variance")]
        cells += [middle(rows, "l0", 1), middle(rows, "matched", 0)]
        cells += [middle(rows, "parent_f1", 2), middle(rows, "absorption", 2)]
        cells += [
            f"{middle(rows, name, 2)} ({middle(rows, f'{name}_null', 2)})"
            for name in ("triplets", "purity_1", "purity_2")
        ]
        lines.append([architecture, str(len(rows)), *cells])
    head = ["architecture", "seeds", "F1", "MCC", "explained variance", "L0", "matched latents"]
    return table([*head, "parent F1", "parent silent", "triplets", "purity, depth 1", "depth 2"], lines)


# Table -> the result that it is made from, and how.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "objectives": ("objectives", objectives),
    "penalty": ("objectives", penalty),
    "known_features": ("known_features", known_features),
}
