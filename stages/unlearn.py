"""Every method on every target: the edit that did best on the dev split, with its sweep and its cost."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import building, contents, read_json, write_json
from pipeline.core.kept import Kept, code_of
from pipeline.core.processes import MachineSettings
from pipeline.core.progress import track
from pipeline.core.settings import RunSettings, read_section
from pipeline.corpus.targets import Node, choose_targets
from pipeline.language_model.known import refuse_unknown
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.choosing import Cell, Sources, best_objective, choose_all
from pipeline.unlearning.settings import UnlearningSettings
from stages import PARAMS, run

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")
# What edits are made with; stores follow from model, corpus and dictionary.
PACKAGES = ("activations", "codes", "core", "corpus", "language_model", "sae", "scope", "tree", "unlearning")
FEATURES, STORE, UNLEARNING = Path("data/features.zarr"), Path("data/activations.zarr"), Path("data/unlearning")
KEPT = UNLEARNING.parent / "partial/edits"  # every finished edit, for a call that goes on or wants another target


def main() -> str:
    shared = read_section(PARAMS, RunSettings, "run")
    machine = read_section(PARAMS, MachineSettings, "machine")
    activations = at_layer(read_section(PARAMS, ActivationsSettings, "activations"), MODEL)
    scope = read_section(PARAMS, ScopeSettings, "scope")
    settings = read_section(PARAMS, UnlearningSettings, "unlearning")
    targets = choose_targets(read_json(CORPUS / "corpus.json")["nodes"], settings.targets)
    refuse_unknown(MODEL, CORPUS, targets)
    how = settings.model_dump(exclude={"targets", "methods", "more_methods"})
    made_of = code_of(*PACKAGES), contents((CORPUS, MODEL, SAE, DENDROGRAM))
    kept = Kept(KEPT, [how, str((shared, activations, scope, machine.threads, machine.device)), made_of])
    with building(UNLEARNING) as folder:
        places = MODEL, SAE, CORPUS, DENDROGRAM, FEATURES, STORE, folder / "documents.npz"
        sources = Sources(*places, targets, shared, machine, activations, scope, settings)
        write_json(folder / "targets.json", targets)
        cells = [
            Cell(level, method, folder / method / level) for level in targets for method in settings.methods_at(level)
        ]
        read = kept.restore(sources.documents, "documents")
        missing = [cell for cell in cells if not kept.restore(cell.folder, *name_of(cell, targets))]
        choosing = choose_all(sources, missing)
        done = len(cells) - len(missing)
        for cell, _ in zip(missing, track(choosing, "unlearn", len(cells), "edits", done), strict=True):
            kept.keep(cell.folder, *name_of(cell, targets))
        if sources.documents.exists() and not read:
            kept.keep(sources.documents, "documents")
        best: dict[str, tuple[float, str]] = {}
        for cell in cells:
            found = best_objective(cell), cell.method
            best[cell.level] = min(best.get(cell.level, found), found)
    kept.forget_others()
    said = (f"{method} at the {level} ({value:.2f})" for level, (value, method) in best.items())
    return f"{len(cells)} edits were chosen on dev; the best by its objective (0 is perfect) is {', '.join(said)}"


def name_of(cell: Cell, targets: Mapping[str, Node]) -> tuple[str, str, Node]:
    """What tells an edit from others that are made in the same way."""
    return cell.method, cell.level, targets[cell.level]


if __name__ == "__main__":
    run("unlearn", main)
