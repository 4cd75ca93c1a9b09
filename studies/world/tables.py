"""The tables of the study, from results/: means over cells, paired differences with bootstrap intervals.

A cell is one target of one seed. Intervals are 95 % percentile intervals over 2,000 draws of cells with replacement.
"""

import re
from collections.abc import Callable, Iterable

import numpy as np

from pipeline.unlearning.damage import remains
from pipeline.unlearning.methods import METHODS
from studies.markdown import grouped, median_interval, table
from studies.world.figures import Row, interval, mean, spread, t_interval

COLUMNS = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop", "perplexity_ratio", "kl")
CELL = ("seed", "level", "node")


def forgetting(rows: list[Row], level: str) -> str:
    """Medians per method over the cells of one level, and the share of cells that meet the whole bar."""
    by_name = grouped(row for row in rows if row["level"] == level)
    measured = [name for name in COLUMNS if all(name in row["means"] for row in rows if row["level"] == level)]
    lines = []
    for method, cells in by_name.items():
        figures = [spread([c["means"][name] for c in cells], 3 if name in UNITS else 1) for name in measured]
        met = sum(meets_the_bar(cell["means"]) for cell in cells)
        lines.append([f"`{method}`", str(len(cells)), *figures, f"{met}/{len(cells)}"])
    return table(["method", "cells", *(name.replace("_", " ") for name in measured), "meet the bar"], lines)


def over_seeds(rows: list[Row]) -> str:
    """Per method of every seed, means over seeds with the 95 % t interval, on the topic that most seeds share."""
    topics = grouped((row for row in rows if row["level"] == "topic"), "node")
    shared = max(topics.values(), key=lambda cells: len({cell["seed"] for cell in cells}))
    columns, lines = COLUMNS[:-1], []
    seeds = {cell["seed"] for cell in shared}
    for method, cells in grouped(shared).items():
        if {cell["seed"] for cell in cells} == seeds:
            figures = [t_interval([c["means"][name] for c in cells], 3 if name in UNITS else 1) for name in columns]
            lines.append([f"`{method}`", str(len(cells)), *figures])
    return table(["method", "seeds", *(name.replace("_", " ") for name in columns)], lines)


def by_world(rows: list[Row], methods: Iterable[str]) -> str:
    """Medians over the topics of each world: cells of one world share its model, worlds share nothing."""
    lines = []
    for method in methods:
        cells = grouped((row for row in rows if row["level"] == "topic" and row["name"] == method), "seed")
        for seed, of_world in sorted(cells.items()):
            if len(of_world) > 1:
                figures = [spread([c["means"][name] for c in of_world], 3 if name in UNITS else 1) for name in COLUMNS]
                lines.append([f"`{method}`", str(seed), str(len(of_world)), *figures])
    return table(["method", "world", "topics", *(name.replace("_", " ") for name in COLUMNS)], lines)


SHORT = (
    "group_adapter",
    "npo_attacked",
    "npo",
    "fixed_vector",
    "guard_flat",
    "subtree",
    "flat_frequency",
    "random_groups",
)
SHORT_COLUMNS = {
    "forget_mcq": "multiple choice left",
    "sibling_drop": "siblings lose",
    "other_drop": "others lose",
    "perplexity_ratio": "perplexity",
}


def short(rows: list[Row]) -> str:
    """Medians over topics with their 95 % intervals, for the first page of the project."""
    by_name, lines = grouped(row for row in rows if row["level"] == "topic"), []
    for name in SHORT:
        figures = [
            median_interval([cell["means"][column] for cell in by_name[name]], 2 if column in UNITS else 1)
            for column in SHORT_COLUMNS
        ]
        lines.append([f"`{name}`", METHODS[name].kind, *figures])
    return table(["method", "kind", *SHORT_COLUMNS.values()], lines)


RETURNED = ("cloze_half_10", "cloze_half_30", "cloze_half_100", "mcq_half_100")
UNITS = {"area", "area_worst", "forget_mcq", "forget_cloze", "perplexity_ratio", "kl", "unseen_mcq", "unseen_cloze"}
UNITS |= set(RETURNED)  # these are shares, all others points


def meets_the_bar(means: dict[str, float]) -> bool:
    """Multiple choice at chance (20 to 30 %), cloze 5 % at most, harm 3 points at most, perplexity 1 % at most."""
    harms = [means.get(name, 0.0) for name in ("sibling_drop", "other_drop")]
    at_chance = 0.2 <= means["forget_mcq"] <= 0.3 and means["forget_cloze"] <= 0.05
    return at_chance and max(harms) <= 3 and means["perplexity_ratio"] <= 1.01


def paired(rows: list[Row], pairs: Iterable[tuple[str, str]], columns: Iterable[str], level: str = "topic") -> str:
    """Mean difference of two methods on the same cells, with its interval."""
    by_name = {
        name: {tuple(cell[key] for key in CELL): cell["means"] for cell in cells}
        for name, cells in grouped(row for row in rows if row["level"] == level).items()
    }
    lines = []
    for first, second in pairs:
        shared = sorted(by_name.get(first, {}).keys() & by_name.get(second, {}).keys())
        if len(shared) < 2:
            continue
        differences = {
            column: [by_name[first][c][column] - by_name[second][c][column] for c in shared] for column in columns
        }
        texts = [interval(values, 3 if column in UNITS else 1) for column, values in differences.items()]
        lines.append([f"`{first}` - `{second}`", str(len(shared)), *texts])
    return table(["difference", "cells", *(column.replace("_", " ") for column in columns)], lines)


def paired_in_worlds(rows: list[Row], pairs: Iterable[tuple[str, str]], columns: tuple[str, ...]) -> str:
    """The paired differences of each world by itself, in one table; a world of a single topic has none."""
    lines: dict[str, list[str]] = {}
    for world, of_world in sorted(grouped(rows, "seed").items()):
        for line in paired(of_world, pairs, columns).splitlines()[2:]:
            name, rest = line.removeprefix("| ").split(" | ", 1)
            lines.setdefault(name, []).append(f"| {name} | {world} | {rest}")
    head = table(["difference", "world", "cells", *(column.replace("_", " ") for column in columns)], [])
    return "\n".join([head, *(line for of_pair in lines.values() for line in of_pair)])


def few_shot(rows: list[Row]) -> str:
    """Mean per arm over cells: unlabelled entities of the target, of its siblings, of the other topics."""
    columns = ("unseen_mcq", "unseen_cloze", "sibling_drop", "other_drop")
    lines = []
    for arm, cells in grouped(rows).items():
        figures = [mean(cells, column, 3 if column in UNITS else 1) for column in columns]
        lines.append([f"`{arm}`", str(len(cells)), *figures])
    return table(["arm", "cells", *(column.replace("_", " ") for column in columns)], lines)


RELEARNING = {
    "half_0": "before",
    "half_10": "half, 10 steps",
    "half_30": "half, 30 steps",
    "half_100": "half, 100 steps",
    "sibling_50": "siblings, 50",
    "general_50": "general, 50",
}
ROBUSTNESS = {
    "half_0": "as edited",
    "rounded_8": "8-bit weights",
    "rounded_4": "4-bit weights",
    "context": "behind a text",
}


def attacks(rows: list[Row], courses: dict[str, str]) -> str:
    """Mean cloze (and multiple choice) of the half that was not taught again."""
    lines = []
    for method, cells in grouped(rows).items():
        figures = [
            f"{np.mean([c['means'][f'cloze_{course}'] for c in cells]):.2f} / "
            f"{np.mean([c['means'][f'mcq_{course}'] for c in cells]):.2f}"
            for course in courses
        ]
        lines.append([f"`{method}`", str(len(cells)), *figures])
    return table(["method", "cells", *courses.values()], lines)


def cuts(rows: list[Row]) -> str:
    """What the automatic choice loses in siblings: to the best cut that leaves no more, or up to 5 points more."""
    lines = []
    for level, cells in grouped(rows, "level").items():
        chosen = [sum(cell["cut"] == cut for cell in cells) for cut in range(1, 1 + len(cells[0]["cuts"]))]
        lost = [interval([_lost(cell, more) for cell in cells], 1) for more in (0.0, 0.05)]
        areas = [f"{np.mean([c['cuts'][cut]['dev_area'] for c in cells]):.3f}" for cut in cells[0]["cuts"]]
        figures = [mean(cells, "forget_mcq", 3), mean(cells, "sibling_drop", 1), *lost, " / ".join(areas)]
        lines.append([level, str(len(cells)), " / ".join(map(str, chosen)), *figures])
    head = ["level", "cells", "chose cut 1 / 2 / 3", "forget mcq", "sibling drop"]
    head += ["lost against the best cut that leaves no more", "up to 5 points more", "area of each cut (dev)"]
    return table(head, lines)


def _lost(cell: Row, more: float) -> float:
    """Points of siblings; among the cuts is the chosen one."""
    left = remains(cell["means"]["forget_mcq"], cell["means"]["forget_cloze"]) + more + 1e-9
    equal = [cut for cut in cell["cuts"].values() if remains(cut["forget_mcq"], cut["forget_cloze"]) <= left]
    return cell["means"]["sibling_drop"] - min(cut["sibling_drop"] for cut in equal)


def curves(rows: list[Row]) -> str:
    """Mean area under the forget-damage curve of a method's whole sweep, 0 to 1; less is better."""
    columns = ("area", "area_worst")
    lines = [
        [f"`{name}`", str(len(cells)), *(mean(cells, c, 3) for c in columns)] for name, cells in grouped(rows).items()
    ]
    return table(["method", "cells", "siblings alone", "worst of siblings, others, general"], lines)


def reach(rows: list[Row]) -> str:
    """Mean areas of a clamp's whole sweep, by how many entities it saw; less is better."""
    by_name = grouped(rows)
    clamps = dict.fromkeys(name.rsplit("_", 1)[0] for name in by_name)
    given = sorted({name.rsplit("_", 1)[1] for name in by_name})
    wanted = [(column, n) for column in ("area", "area_worst") for n in given]
    lines = [[f"`{clamp}`", *(mean(by_name[f"{clamp}_{n}"], column, 3) for column, n in wanted)] for clamp in clamps]
    said = {"area": "siblings", "area_worst": "worst loss"}
    return table(["clamp", *(f"{said[column]}, {n} given" for column, n in wanted)], lines)


# Figure -> digits; those with a null of the same name have it beside them.
HEADLINE = {
    "language_model/heldout_cloze": 3,
    "language_model/novel_cloze": 3,
    "sae/explained_variance": 3,
    "sae/ce_loss_recovered": 4,
    "sae/spliced_cloze": 3,
    "hierarchy/bootstrap_ari_level_1": 2,
    "hierarchy/bootstrap_ari_level_2": 2,
    "hierarchy/bootstrap_ari_level_3": 2,
    "hierarchy/halves_ari_level_1": 2,
    "hierarchy/halves_ari_level_3": 2,
    "hierarchy/bootstrap_cophenetic": 2,
    "hierarchy/coherence_lift_level_1": 2,
    "hierarchy/coherence_lift_level_3": 2,
    "hierarchy/domain_ami_document": 2,
    "hierarchy/topic_ami_document": 2,
    "hierarchy/topic_ami_token": 2,
    "hierarchy/entity_ami_document": 2,
    "hierarchy/entity_ami_token": 2,
    "hierarchy/parent_f1_document": 2,
    "scope/tree/average_precision": 2,
    "scope/residual_tree/average_precision": 2,
    "scope/residual/average_precision": 2,
    "scope/flat/average_precision": 2,
    "scope/shuffled_tree/average_precision": 2,
}


def headline(rows: list[Row]) -> str:
    """Mean over seeds of what ``evaluate`` reports, with the 95 % t interval, and the mean of its null."""
    lines = []
    for name, digits in HEADLINE.items():
        values = [row["means"][name] for row in rows if name in row["means"]]
        if len(values) < 2:
            continue
        nulls = [row["means"][null] for row in rows if (null := _null(name)) in row["means"]]
        beside = f"{np.mean(nulls):.{digits}f}" if nulls else ""
        lines.append([f"`{name}`", str(len(values)), t_interval(values, digits), beside])
    return table(["figure", "seeds", "mean (95 % interval)", "null"], lines)


def _null(name: str) -> str:
    """``topic_ami_null_level_1`` stands beside ``topic_ami_level_1``, ``parent_f1_null_token`` beside its own."""
    return re.sub(r"(_level_\d|_token|_document)?$", r"_null\1", name, count=1)


HARM = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop")
UNSEEN = ("unseen_mcq", "unseen_cloze", "sibling_drop", "other_drop")
PERSISTENT = ("npo", "npo_attacked", "group_adapter")
ADAPTER_PAIRS = [("group_adapter", rival) for rival in ("npo", "npo_attacked", "grad_diff")]
TOPIC_PAIRS = [
    *ADAPTER_PAIRS,
    ("group_adapter", "group_adapter_flat"),
    ("group_adapter", "group_adapter_random"),
    ("npo_attacked", "npo"),
    ("grad_diff", "npo"),
    ("subtree", "flat_frequency"),
    ("subtree", "flat_worth"),
    ("subtree_ablated", "subtree"),
    ("subtree_ablated", "flat_ablated"),
]
ATTACKED_PAIRS = [
    ("group_adapter", "npo"),
    ("npo_attacked", "npo"),
    ("grad_diff", "npo"),
    ("group_adapter", "npo_attacked"),
]
CURVE_PAIRS = [
    ("subtree", "shuffled_tree"),
    ("subtree", "flat_worth"),
    ("subtree", "flat_log_odds"),
    ("subtree", "flat_frequency"),
    ("gates_tree", "gates_tree_shuffled"),
    ("gates_tree", "gates_flat"),
]
CUT_PAIRS = [("level_cut", rival) for rival in ("level_cut_shuffled", "flat_worth", "flat_frequency")]


def given(pairs: Iterable[tuple[str, str]], *numbers: int) -> list[tuple[str, str]]:
    """The pairs as the cells of reach are named, with so many entities given."""
    return [(f"{first}_{n}", f"{second}_{n}") for first, second in pairs for n in numbers]


REACH_PAIRS = given([*CUT_PAIRS, ("subtree", "shuffled_tree")], 1, 2, 4)
AREAS = ("area", "area_worst")
FEW_SHOT_PAIRS = [
    *((f"scope_npo_{found}_2", "npo_2") for found in ("tree", "residual_tree", "residual", "flat", "oracle")),
    ("scope_npo_tree_2", "scope_npo_flat_2"),
    ("scope_npo_tree_2", "scope_npo_shuffled_tree_2"),
    ("scope_npo_residual_tree_2", "scope_npo_residual_2"),
]
# Table -> the kind of cells it reads, and how it is made of them.
TABLES: dict[str, tuple[str, Callable[[list[Row]], str]]] = {
    "headline": ("headline", headline),
    "short": ("forgetting", short),
    "topic": ("forgetting", lambda rows: forgetting(rows, "topic")),
    "headline_topic": ("forgetting", over_seeds),
    "worlds": ("forgetting", lambda rows: by_world(rows, PERSISTENT)),
    "pairs": ("forgetting", lambda rows: paired(rows, TOPIC_PAIRS, HARM)),
    "pairs_worlds": ("forgetting", lambda rows: paired_in_worlds(rows, ADAPTER_PAIRS, HARM)),
    "domain": ("forgetting", lambda rows: forgetting(rows, "domain")),
    "entity": ("forgetting", lambda rows: forgetting(rows, "entity")),
    "cuts": ("cut", cuts),
    "random_dictionary": ("random_dictionary", lambda rows: forgetting(rows, "topic")),
    "few_shot": ("few_shot", few_shot),
    "few_shot_pairs": ("few_shot", lambda rows: paired(rows, FEW_SHOT_PAIRS, UNSEEN)),
    "reach": ("reach", reach),
    "reach_pairs": ("reach", lambda rows: paired(rows, REACH_PAIRS, AREAS)),
    "reach_worlds": ("reach", lambda rows: paired_in_worlds(rows, given(CUT_PAIRS, 2), AREAS)),
    "relearning": ("relearning", lambda rows: attacks(rows, RELEARNING)),
    "relearning_pairs": ("relearning", lambda rows: paired(rows, ATTACKED_PAIRS, RETURNED)),
    "robustness": ("relearning", lambda rows: attacks(rows, ROBUSTNESS)),
    "curves": ("curve", curves),
    "curve_pairs": ("curve", lambda rows: paired(rows, CURVE_PAIRS, AREAS)),
}
