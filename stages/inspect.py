"""Look at what the stages wrote: `python -m stages.inspect feature 12`; `--json` prints the same for programs."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError

MODEL, SAE, FEATURES = Path("data/model"), Path("data/sae"), Path("data/features.zarr")
ACTIVATIONS, DENDROGRAM, UNLEARNING = Path("data/activations.zarr"), Path("data/dendrogram"), Path("data/unlearning")
EVALUATION, WORDS = Path("data/evaluation"), Path("data/report/words.json")


def arguments() -> argparse.Namespace:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument("--scale", choices=("token", "document"), help="which tree; the default one otherwise")
    parser = argparse.ArgumentParser(prog="python -m stages.inspect", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name, meaning in (("activations", "the activation store"), ("sae", "the dictionary")):
        commands.add_parser(name, parents=[shared], help=meaning)
    feature = commands.add_parser("feature", parents=[shared], help="one latent of the dictionary")
    feature.add_argument("number", type=int)
    group = commands.add_parser("group", parents=[shared], help="one merge of the tree, by scipy's number")
    group.add_argument("number", type=int)
    dendrogram = commands.add_parser("dendrogram", parents=[shared], help="the tree down to a level")
    dendrogram.add_argument("--level", type=int, default=1, help="1 is the coarsest")
    dendrogram.add_argument("--newick", action="store_true", help="the whole tree in Newick form")
    edit = commands.add_parser("edit", parents=[shared], help="one edit, as subtree/topic")
    edit.add_argument("name")
    run = commands.add_parser("run", parents=[shared], help="the folder of a finished run, as run_3")
    run.add_argument("folder", type=Path)
    return parser.parse_args()


def look(given: argparse.Namespace) -> dict[str, Any] | str:
    """The content asked for. Modules are imported here, so that each answer loads only what it needs."""
    if given.what in ("activations", "sae"):
        from pipeline.inspection import stores

        return stores.activations(ACTIVATIONS, MODEL) if given.what == "activations" else stores.sae(SAE, EVALUATION)
    from pipeline.inspection import results, trees

    if given.what == "run":
        return results.run(given.folder)
    grove = trees.open_grove(DENDROGRAM, WORDS, given.scale)
    if given.what == "edit":
        return results.edit(given.name, UNLEARNING, EVALUATION, grove)
    if given.what == "dendrogram":
        if given.newick:
            return (DENDROGRAM / (given.scale or "") / "tree.nwk").read_text(encoding="utf-8").strip()
        rows, cuts = trees.outline(grove, given.level), " ".join(map(str, grove.cuts))
        if not given.json:
            return f"{grove.tree.n_leaves} latents, cuts at r {cuts}\n{trees.drawn(rows)}"
        return {"latents": grove.tree.n_leaves, "cuts at r": cuts, "groups": rows}
    from pipeline.codes.store import CodesStore
    from pipeline.inspection import latents
    from pipeline.language_model.token_text import TokenText

    codes, tokens = CodesStore.open(FEATURES), TokenText.open(MODEL)
    if given.what == "feature":
        return latents.feature(given.number, codes, tokens, SAE, grove)
    return latents.group(given.number, codes, tokens, grove) | results.cut_alone(given.number, given.scale, EVALUATION)


def main() -> None:
    given = arguments()
    try:
        content = look(given)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    if isinstance(content, str):
        print(content)
    elif given.json:
        print(json.dumps(content, ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        from pipeline.inspection.show import show

        show(content, Console())


if __name__ == "__main__":
    main()
