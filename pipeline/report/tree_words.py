"""What the tree found at a target, in sentences, and the group at which the page opens it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.report.evidence import CLAMPED, Evidence
from pipeline.report.finding import loses, plural

_WORDS = 5  # that stand for a group


class Found(NamedTuple):
    """``start`` is the place, among the shown nodes, of the group that did most of the forgetting."""

    sentences: list[str]
    start: int


def found(evidence: Evidence, tree: Mapping[str, Any], level: str) -> Found | None:
    """What ``subtree`` clamped on a target, what that did, and the group that did most; None for nothing."""
    groups = evidence.clamped().get(level)
    places = chosen_places(tree, level)
    if not groups or not places:
        return None
    start = max(places, key=lambda k: (_taken(tree, level, k), tree["targets"][level][k][0], tree["size"][k]))
    clamped = sum(len(group) for group in groups)
    whole = (
        f"{CLAMPED} clamps {len(groups)} {'group' if len(groups) == 1 else 'groups'}, {clamped} of "
        f"{tree['latents']:,} latents. {effect(evidence, level)}"
    )
    return Found([whole, _group(tree, level, start), *_elsewhere(tree, level, start)], start)


def chosen_places(tree: Mapping[str, Any], level: str) -> list[int]:
    """The shown nodes all of whose latents are clamped and whose parents are not: the groups of the edit."""
    marked, size, parent = tree["marked"][level], tree["size"], tree["parent"]
    whole = [marked[k] == size[k] for k in range(len(size))]
    return [k for k, is_whole in enumerate(whole) if is_whole and (parent[k] < 0 or not whole[parent[k]])]


def effect(evidence: Evidence, level: str) -> str:
    """What all groups of ``subtree`` do together, in one sentence; empty where it was not measured."""
    before, after = (evidence.means(f"unlearning/{method}/{level}") for method in ("none", CLAMPED))
    if not after:
        return ""
    who = {"sibling_drop": f"sibling {plural(level)}", "other_drop": f"other {plural(level)}"}
    lost = "".join(f", {words} {loses(after[name])}" for name, words in who.items() if name in after)
    target = f"from {before['forget_cloze']:.0%} to {after['forget_cloze']:.0%}"
    return f"Together they take the facts of the target that are completed {target}{lost}."


def effects(evidence: Evidence) -> dict[str, str]:
    """By level the sentence above, for the panel of a clamped group."""
    return {level: said for level in evidence.levels() if (said := effect(evidence, level))}


def _taken(tree: Mapping[str, Any], level: str, k: int) -> float:
    """Points that cutting the node alone takes from the target; less than any where that was not measured."""
    measured = tree["cutting"].get(k, {}).get("targets", {}).get(level, {})
    return measured.get("forget", -101.0)


def _group(tree: Mapping[str, Any], level: str, k: int) -> str:
    words = " ".join(tree["text"][word] for word in tree["words"][k][:_WORDS])
    latents = f"{tree['size'][k]} latents" if tree["size"][k] > 1 else f"latent {tree['latent'][k]}"
    share = tree["targets"][level][k][0]
    about = f" Its words: {words}." if words else ""
    led = "The group that does most alone is" if tree["cutting"].get(k) else "The group most active on the target is"
    return f"{led} node {tree['id'][k]} ({latents}): {share} % of its activation is on the target.{about}"


def _elsewhere(tree: Mapping[str, Any], level: str, k: int) -> list[str]:
    """What cutting that node alone does to the target and to the rest."""
    measured = tree["cutting"].get(k)
    if not measured or level not in measured["targets"]:
        return []
    names = {"forget": "the target", "sibling": "siblings", "other": "other knowledge", "general": "general text"}
    lost = [f"{names.get(name, name)} {points:g}" for name, points in measured["targets"][level].items()]
    worst = [f"{place} {points:g}" for place, points, _ in measured["worst"]]
    said = f"Cutting it alone costs, in points of completed facts: {', '.join(lost)}."
    return [said + (f" The places that lose most: {', '.join(worst)}." if worst else "")]
