"""Tables of the tree and its groups: cuts, what coheres, what is implied, what is clamped, what is active."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.evidence import Evidence
from pipeline.report.meanings import label, meaning
from pipeline.report.reading import ChosenGroup, GeneralLatent
from pipeline.report.tables import Table

MOST_ACTIVE = 6  # groups that are shown of every target
MOST_COHERING = 12  # groups of the coarsest cut
MOST_CHILDREN = 12  # of a latent, by number


def cuts(evidence: Evidence) -> Table:
    """What is said of every cut: groups, stability, coherence, truth, each beside its null and what it means."""
    levels = [cut["level"] for cut in evidence.groups["cuts"]]
    names = dict.fromkeys(name.partition("_level_")[0] for name in evidence.means("hierarchy") if "_level_" in name)
    rows = []
    for name in (name for name in names if not _is_null(name)):
        keys = [f"{name}_level_{level}" for level in levels]
        rows.append([label(keys[0]), *(_with_null(evidence, key) for key in keys), meaning(keys[0]).says])
    head = ["", *(f"cut {cut['level']}, r ≥ {cut['correlation']:.2f}" for cut in evidence.groups["cuts"])]
    return Table([*head, "what it means"], rows)


def whole_tree(evidence: Evidence) -> Table:
    """The figures of the tree that are of no cut, in the same form."""
    names = [name for name in evidence.means("hierarchy") if "_level_" not in name and not _is_null(name)]
    rows = [[label(name), _with_null(evidence, name), meaning(name).says] for name in names]
    return Table(["whole tree", "value", "what it means"], rows)


def _is_null(name: str) -> bool:
    return "_null" in name


def _with_null(evidence: Evidence, name: str) -> str | None:
    """``0.807 ± 0.012 (null 0.001)``; counts have no decimals, and not everything has a null."""
    digits = 0 if name.startswith("groups_") or "_features_" in name else 3
    value, null = evidence.written("hierarchy", name, digits), evidence.means("hierarchy").get(_null_of(name))
    return value if value is None or null is None else f"{value} (null {null:.3f})"


def _null_of(name: str) -> str:
    """The name of the figure where nothing can be found.

    >>> _null_of("stability_ari_level_1"), _null_of("domain_ami_level_2"), _null_of("parent_f1_token")
    ('stability_null_level_1', 'domain_ami_null_level_2', 'parent_f1_null_token')
    """
    if name.startswith("stability_ari"):
        return name.replace("_ari", "_null")
    if name.startswith("parent_"):
        return "_null_".join(name.rsplit("_", 1))
    front, cut, level = name.partition("_level_")
    return f"{front}_null{cut}{level}"


def plateaus(evidence: Evidence) -> list[str]:
    """The cuts at which trees of resampled documents agree most."""
    said = []
    for cut in evidence.groups["plateaus"]:
        n = sum(len(group) > 1 for group in cut["groups"])
        said.append(f"r ≥ {cut['correlation']:.2f} ({n} group{'' if n == 1 else 's'})")
    return said


def cohering(evidence: Evidence) -> Table:
    """The groups of the coarsest cut that fire together most on held-out text, beyond random groups."""
    known = [row for row in evidence.cohering[0]["groups"] if row["coherence_lift"] is not None]
    best = sorted(known, key=lambda row: -row["coherence_lift"])[:MOST_COHERING]
    rows = [
        [
            str(row["group"]),
            str(len(row["latents"])),
            f"{row['coherence_lift']:.3f}",
            None if row["decoder_lift"] is None else f"{row['decoder_lift']:.3f}",
            " ".join(row["words"]),
        ]
        for row in best
    ]
    return Table(
        [
            "group of cut 1",
            "latents",
            "coherence beyond random groups",
            "likeness of directions beyond random groups",
            "words",
        ],
        rows,
    )


def general(latents: Sequence[GeneralLatent]) -> Table:
    """The latents that most others imply."""
    rows = []
    for latent, words, edges in latents:
        means = (sum(edge[name] for edge in edges) / len(edges) for name in ("phi", "loevinger"))
        which = ", ".join(str(edge["child"]) for edge in edges[:MOST_CHILDREN])
        more = f" and {len(edges) - MOST_CHILDREN} more" if len(edges) > MOST_CHILDREN else ""
        rows.append([str(latent), str(len(edges)), *(f"{mean:.2f}" for mean in means), which + more, " ".join(words)])
    return Table(["latent", "implied by", "correlation (phi)", "implication (H)", "which", "words"], rows)


def chosen(groups: Sequence[ChosenGroup]) -> Table:
    """The groups that ``subtree`` clamps, with their words."""
    rows = [
        [row.level, str(len(row.latents)), " ".join(row.words) or None, ", ".join(map(str, row.latents))]
        for row in groups
    ]
    return Table(["level", "latents", "words", "which"], rows)


def active_groups(tree: Mapping[str, Any], level: str) -> Table:
    """The groups of two or more latents with the largest share of their activation on a target's text."""
    shares = tree["targets"][level]
    groups = [k for k, size in enumerate(tree["size"]) if size > 1]
    best = sorted(groups, key=lambda k: (-shares[k][0], -tree["size"][k]))[:MOST_ACTIVE]
    rows = [
        [
            f"{level}: group {tree['id'][k]}",
            str(tree["size"][k]),
            f"{tree['r'][k]:.2f}",
            *(f"{share} %" for share in shares[k]),
            " ".join(tree["text"][word] for word in tree["words"][k]),
        ]
        for k in best
    ]
    head = ["", "latents", "merged at r", "on the target", "on siblings", "on other", "on general text", "words"]
    return Table(head, rows)
