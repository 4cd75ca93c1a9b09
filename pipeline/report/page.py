"""One HTML page that needs nothing else: no network, no other file, no script but its own."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.report import sections
from pipeline.report.evidence import Evidence
from pipeline.report.families import families
from pipeline.report.group_tables import active_groups, chosen_table
from pipeline.report.groups import ChosenGroup
from pipeline.report.markup import Markup, joined, table, tag
from pipeline.report.tree_view import script_hash, tree_view


class Pictures:
    """The PNG files of the report's folder, to be put into the page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, caption: str) -> Markup | None:
        """The picture with its caption; None where there is none by that name."""
        path = self._folder / f"{name}.png"
        if not path.exists():
            return None
        source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        return tag("figure", tag("img", src=source, alt=caption), tag("figcaption", caption))


def page(
    evidence: Evidence,
    chosen: Sequence[ChosenGroup],
    tree: Mapping[str, Any],
    pictures: Pictures,
    versions: Mapping[str, str],
    hashes: Mapping[str, str],
) -> str:
    """The whole document."""
    parts = {
        "What was forgotten, what was damaged": _first(evidence),
        "Trade-off": joined(_level(evidence, level, pictures) for level in evidence.levels()),
        "Relearning, few shots, scope": families(evidence),
        "Methods and what they are worth": tag("div", sections.methods_and_threats(evidence), class_="words"),
        "The dictionary": _dictionary(evidence, pictures),
        "The hierarchy": _hierarchy(evidence, tree, pictures),
        "Groups that subtree chose": joined([chosen_table(chosen), active_groups(tree)]),
        "sae-bench": _bench(evidence),
        "Stage times": tag("div", sections.times(evidence), class_="words"),
        "Provenance": _provenance(evidence, versions, hashes),
        "Where to look next": _next(tree),
    }
    links = [tag("a", title, href=f"#part-{k}") for k, title in enumerate(parts)]
    body = [
        tag("section", tag("h2", title, id=f"part-{k}"), content) for k, (title, content) in enumerate(parts.items())
    ]
    return _document(joined([tag("h1", "Unlearning report"), _about(evidence), tag("nav", links), *body]))


def _document(body: Markup) -> str:
    """The content security policy lets nothing be fetched and no script run but ours, whatever is in the text."""
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script_hash()}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "Unlearning report"),
        tag("style", Markup(css)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _about(evidence: Evidence) -> Markup:
    model = evidence.params.get("language_model", {}).get("source", "train")
    hook = evidence.sae.get("metadata", {}).get("hook_name", "")
    what = "the small model trained for it" if model == "train" else model
    sentence = f"Language model: {what}. Dictionary: {evidence.sae['d_sae']:,} latents on {hook}."
    return tag("p", sentence, class_="soft")


def _first(evidence: Evidence) -> Markup:
    note = (
        "Cloze: the model completes the fact by itself. Choice: it picks the right one of four options (chance 25 %). "
        "Losses are points of cloze, before minus after. Guards block, they do not erase; clamps act at inference too."
    )
    return joined([sections.headline(evidence), tag("p", note, class_="soft")])


def _level(evidence: Evidence, level: str, pictures: Pictures) -> Markup:
    caption = (
        "Small: candidates on the dev split, a line joins the best. Large: the kept edit on the test split with "
        "95 % intervals. Lower left is better."
    )
    drawn = [
        pictures.get(f"tradeoff_{level}_{asked}", caption if asked == "cloze" else "")
        for asked in ("cloze", "mcq", "other")
    ]
    note = (
        "± is half a 95 % interval (1.96 bootstrap standard errors over facts); losses in points. "
        "Italics: references and controls."
    )
    return joined(
        [
            tag("h3", f"{level}: {' / '.join(evidence.corpus['targets'][level])}"),
            sections.trade_off(evidence, level),
            tag("p", note, class_="soft"),
            tag("div", drawn, class_="pair"),
        ]
    )


def _dictionary(evidence: Evidence, pictures: Pictures) -> Markup:
    settings = evidence.training.get("settings", {})
    about = {"trained as": settings.get("pretrained") or settings.get("architecture", "not known")}
    about |= {"saved as": evidence.sae.get("architecture", "not known")}  # all but TopK: JumpReLU, fixed thresholds
    about |= {key: evidence.sae[key] for key in ("d_in", "d_sae") if key in evidence.sae}
    about |= {key: value for key, value in evidence.sae.get("metadata", {}).items() if key.startswith("hook")}
    return joined(
        [
            tag("p", ", ".join(f"{key} {value}" for key, value in about.items())),
            sections.entry_table(evidence, "sae"),
            pictures.get("training", "Training of the dictionary"),
            pictures.get("tree_in_training", "Is the tree there yet? Groups of latents while the dictionary trains"),
            tag("h3", "The language model"),
            sections.entry_table(evidence, "language_model"),
        ]
    )


def _hierarchy(evidence: Evidence, tree: Mapping[str, Any], pictures: Pictures) -> Markup:
    note = (
        "Stability: agreement of a cut with trees of resampled documents (adjusted Rand index; 1 the same, 0 chance), "
        "beside the same with shuffled leaves. Coherence lift: how much more a group's latents fire together on "
        "held-out text than random latents of the same rates."
    )
    said = [tag("p", f"{scale} scale: {row['summary']}", class_="soft") for scale, row in evidence.stability.items()]
    picture = pictures.get(
        "dendrogram",
        "The tree, its cuts (dashed), and the latents that subtree clamps (marks on top)",
    )
    explore = tag("div", tag("h3", "Explore the tree"), tree_view(tree, sections.effects(evidence)))
    matrix = pictures.get("clustermap", "Similarity of pairs of latents in the order of the tree")
    return joined([sections.hierarchy(evidence), tag("p", note, class_="soft"), *said, explore, picture, matrix])


def _bench(evidence: Evidence) -> Markup:
    heading = tag("h3", "Sparse probing, baselines beside it")
    beside = [sections.world_baseline(evidence), sections.seed_baseline(evidence)]
    return joined([sections.sae_bench(evidence), heading, *beside])


def _provenance(evidence: Evidence, versions: Mapping[str, str], hashes: Mapping[str, str]) -> Markup:
    seed = evidence.params.get("run", {}).get("seed")
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return joined(
        [
            tag("p", f"Seed {seed}. {packages}."),
            table(["content", "sha256"], [[name, tag("code", value[:16])] for name, value in hashes.items()]),
            tag("p", "Source of the corpus: ", ", ".join(f"{k} {v}" for k, v in evidence.corpus["source"].items())),
            tag("h3", "Configuration"),
            tag("div", sections.settings(evidence.params), class_="words"),
        ]
    )


def _next(tree: Mapping[str, Any]) -> Markup:
    shares = next(iter(tree["targets"].values()))
    group, leaf = (max(at, key=lambda k: shares[k][0]) for at in _merges_and_leaves(tree))
    files = {
        "final_info.json": "every figure of this page",
        "data/evaluation/": "the values behind them, item by item",
        "data/unlearning/<method>/<level>/": "the edit (edit.json, edit.safetensors) and its dev sweep",
        "data/dendrogram/": "the tree: linkage.npy (scipy), tree.json, tree.nwk, groups.json",
        "data/report/": "the figures of this page as PNG and SVG",
    }
    commands = "\n".join(
        [
            "uv run python -m stages.inspect dendrogram",
            f"uv run python -m stages.inspect group {tree['id'][group]}",
            f"uv run python -m stages.inspect feature {tree['latent'][leaf]}",
            "uv run python -m stages.inspect edit subtree/topic",
        ]
    )
    listed = [tag("li", tag("code", path), f": {what}") for path, what in files.items()]
    return joined([tag("ul", listed), tag("pre", commands)])


def _merges_and_leaves(tree: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    merges = [k for k, size in enumerate(tree["size"]) if size > 1]
    return merges, [k for k, size in enumerate(tree["size"]) if size == 1]
