"""One HTML page that needs nothing else: no network, no other file, no script but its own.

Values come from ``tables`` and ``tree_tables``; templates/ lays them out and escapes whatever it is given, so no text
can break the page.
"""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from pipeline.report import tables, tree_tables, tree_words, verdict
from pipeline.report.evidence import Evidence, Made
from pipeline.report.finding import first_screen, order
from pipeline.report.methods import FAMILIES, WHAT
from pipeline.report.reading import Named
from pipeline.report.trade_off import MARKS, trade_off

TEMPLATES = Path(__file__).with_name("templates")
COLOURS = 48  # of a picture in the page
SCRIPTS = ("trade_off.js", "tree_colours.js", "tree_panel.js", "tree.js")


def page(
    evidence: Evidence,
    named: Named,
    tree: Mapping[str, Any],
    pictures: Path,
    versions: Mapping[str, str],
    hashes: Mapping[str, str],
    made: Made,
) -> str:
    """The whole document; ``pictures`` is the folder of the PNG files that go into it."""
    values = {
        "pictures": {path.stem: _base64(_small(path)) for path in pictures.glob("*.png")},
        "judged_by": verdict,
        "methods": WHAT,
        "marks": MARKS,
        "made": made,
    }
    values |= forgetting(evidence) | dictionary_and_tree(evidence, named, tree) | provenance(evidence, versions, hashes)
    return templated("page.html", SCRIPTS, values)


def templated(template: str, scripts: Sequence[str], values: Mapping[str, Any]) -> str:
    """A template with its values, the style and the scripts that it needs."""
    script = '"use strict";\n' + "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in scripts)
    own = {
        "css": Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": _base64(hashlib.sha256(script.encode()).digest()),  # a browser runs nothing else
    }
    return _templates().get_template(template).render({**own, **values})


def _templates() -> Environment:
    """Escaping everywhere, a name that is not given is an error, JSON as short as it can be."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    return templates


def _small(picture: Path) -> bytes:
    """A PNG in few colours: a third of the bytes, and no reader sees it. The folder keeps it as it is."""
    small = io.BytesIO()
    with Image.open(picture) as image:
        image.convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def forgetting(evidence: Evidence) -> dict[str, Any]:
    """Values of the parts on targets, methods and families."""
    families = {title: (note, tables.family(evidence, prefix)) for prefix, (title, note) in FAMILIES.items()}
    screen = first_screen(evidence)
    return {
        **screen,
        "trade_offs": {target["level"]: trade_off(evidence, target["level"]) for target in screen["targets"]},
        "all_methods": {target["level"]: tables.all_methods(evidence, target["level"]) for target in screen["targets"]},
        "rest": {target["level"]: tables.rest_of_methods(evidence, target["level"]) for target in screen["targets"]},
        "refits": {target["level"]: tables.refits(evidence, target["level"]) for target in screen["targets"]},
        "absences": {target["level"]: tables.absences(evidence, target["level"]) for target in screen["targets"]},
        "families": families,
        "lacking": [title.split(":")[0].lower() for title, (_, found) in families.items() if found is None],
        "methods_and_threats": tables.methods_and_threats(evidence),
    }


def dictionary_and_tree(evidence: Evidence, named: Named, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the parts on the dictionary, its tree and its groups."""
    model = evidence.params.get("language_model", {}).get("source", "train")
    metadata, trained = evidence.sae.get("metadata", {}), evidence.training.get("settings", {})
    about = {"trained as": trained.get("pretrained") or trained.get("architecture", "not known")}
    about |= {"saved as": evidence.sae.get("architecture", "not known")}  # all but TopK: JumpReLU, fixed thresholds
    about |= {key: evidence.sae[key] for key in ("d_in", "d_sae") if key in evidence.sae}
    about |= {key: value for key, value in metadata.items() if key.startswith("hook")}
    at_targets = {level: it for level in order(evidence) if (it := tree_words.found(evidence, tree, level))}
    return {
        "model": "the small model trained for it" if model == "train" else model,
        "n_latents": evidence.sae["d_sae"],
        "hook": metadata.get("hook_name", ""),
        "about_sae": about,
        "sae": tables.entry(evidence, "sae"),
        "language_model": tables.entry(evidence, "language_model"),
        "cuts": tree_tables.cuts(evidence),
        "whole_tree": tree_tables.whole_tree(evidence),
        "plateaus": tree_tables.plateaus(evidence),
        "stability": {scale: row["summary"] for scale, row in evidence.stability.items()},
        "cohering": tree_tables.cohering(evidence),
        "n_parents": len(evidence.parents),
        "general": tree_tables.general(named.general),
        "chosen": tree_tables.chosen(named.chosen),
        "active": {level: tree_tables.active_groups(tree, level) for level in tree["targets"]},
        "found": at_targets,
        "tree": {
            **tree,
            "effects": tree_words.effects(evidence),
            "start": {k: it.start for k, it in at_targets.items()},
        },
        "most_active": _most_active(tree),
    }


def provenance(evidence: Evidence, versions: Mapping[str, str], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Values of the parts on sae-bench, times and what made the results."""
    return {
        "sae_bench": tables.sae_bench(evidence),
        "sae_bench_failed": evidence.sae_bench.get("failed", {}),
        "sae_bench_beside": bool(evidence.baselines.beside),
        "world_baseline": tables.world_baseline(evidence),
        "seed_baseline": tables.seed_baseline(evidence),
        "seed_caveats": evidence.baselines.caveats,
        "times": tables.times(evidence),
        "machine": tables.machine(evidence),
        "seed": evidence.params.get("run", {}).get("seed"),
        "versions": versions,
        "hashes": tables.Table(["content", "sha256"], [[name, value[:16]] for name, value in hashes.items()]),
        "source": evidence.corpus["source"],
        "settings": tables.settings(evidence.params),
    }


def _most_active(tree: Mapping[str, Any]) -> dict[str, int]:
    """The group and the single latent with the largest share of their activation on the first target, by number."""
    shares = next(iter(tree["targets"].values()))
    groups = [k for k, size in enumerate(tree["size"]) if size > 1]
    singles = [k for k, size in enumerate(tree["size"]) if size == 1]
    best, single = (max(at, key=lambda k: shares[k][0]) for at in (groups, singles))
    return {"group": tree["id"][best], "feature": tree["latent"][single]}
