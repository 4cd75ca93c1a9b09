"""The explorable dendrogram: its controls, its data, and the page's only script."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.report.markup import Markup, data_block, joined, tag

SCRIPTS = ("tree_colours.js", "page.js")


def script() -> str:
    """The text of the page's only script."""
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS)


def script_hash() -> str:
    """The script's name in the content security policy: a browser runs nothing else."""
    digest = hashlib.sha256(script().encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def tree_view(data: Mapping[str, Any], effects: Mapping[str, str]) -> Markup:
    """Controls, an empty drawing and a panel for the chosen node, filled by the script.

    ``effects`` says of every level what clamping its marked latents does.
    """
    cuts = data["cuts"]
    folds = [tag("option", f"cut {level} (r ≥ {cut:.2f})", value=cut) for level, cut in enumerate(cuts, start=1)]
    controls = [
        tag("label", "Search a word ", tag("input", type="search", id="tree-search", autocomplete="off")),
        tag("label", "Folded at ", tag("select", _FITS, folds, tag("option", "nothing", value=2), id="tree-cut")),
        tag("label", "Colour ", tag("select", _colours(data), id="tree-colour")),
        [tag("button", text, type="button", id=f"tree-{name}") for name, text in _BUTTONS.items()],
    ]
    note = (
        "Click a branch to read it, double-click (or choose it and press Zoom in) to look inside. Triangles are folded "
        "groups; dashed lines are the cuts; small marks at the bottom hold latents that subtree clamps."
    )
    return joined(
        [
            tag("p", note, class_="soft"),
            tag("div", controls, class_="controls"),
            tag("div", id="tree-found", aria_live="polite"),
            tag("p", "This drawing needs JavaScript; the figure below is its still.", id="tree-where", class_="soft"),
            tag("svg", id="tree-view", role="img", aria_label="Dendrogram of latents"),
            tag("div", id="tree-legend", class_="soft"),
            tag("div", id="tree-node", aria_live="polite"),
            data_block("tree-data", {**data, "effects": effects}),
            tag("script", Markup(script())),
        ]
    )


_FITS = tag("option", "what fits", value=-2)
_BUTTONS = {"zoom": "Zoom in", "up": "Up", "whole": "Whole tree", "fold": "Fold / unfold"}


def _colours(data: Mapping[str, Any]) -> list[Markup]:
    """What branches can be coloured by, as ``kind:argument`` for the script."""
    depth = len(data["place"][-1]) if data["place"] else 0
    choices = {f"retain:{level}": f"{level}: to forget against to retain" for level in data["targets"]}
    choices |= {f"target:{level}": f"activity on the {level} to forget" for level in data["targets"]}
    choices |= {f"cut:{number}": f"groups of cut {number + 1}" for number in range(len(data["cuts"]))}
    choices |= {f"place:{number}": f"where in the corpus' tree (depth {number + 1})" for number in range(depth)}
    choices |= {f"marked:{level}": f"clamped by subtree/{level}" for level in data["marked"]}
    return [tag("option", words, value=value) for value, words in choices.items()]
