"""Every method on every target: the edit that did best on the dev split, with its sweep and its cost."""

from pathlib import Path

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import building, read_json, write_json
from pipeline.core.processes import MachineSettings
from pipeline.core.progress import track
from pipeline.core.settings import RunSettings, read_section
from pipeline.corpus.targets import choose_targets
from pipeline.language_model.known import refuse_unknown
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.choosing import Cell, Sources, choose_all
from pipeline.unlearning.settings import UnlearningSettings
from stages import PARAMS, run

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")
UNLEARNING = Path("data/unlearning")


def main() -> str:
    shared = read_section(PARAMS, RunSettings, "run")
    machine = read_section(PARAMS, MachineSettings, "machine")
    activations = at_layer(read_section(PARAMS, ActivationsSettings, "activations"), MODEL)
    scope = read_section(PARAMS, ScopeSettings, "scope")
    settings = read_section(PARAMS, UnlearningSettings, "unlearning")
    targets = choose_targets(read_json(CORPUS / "corpus.json")["nodes"], settings.targets)
    refuse_unknown(MODEL, CORPUS, targets)
    with building(UNLEARNING) as folder:
        places = MODEL, SAE, CORPUS, DENDROGRAM, folder / "documents.npz"
        sources = Sources(*places, targets, shared, machine, activations, scope, settings)
        write_json(folder / "targets.json", targets)
        cells = [
            Cell(level, method, folder / method / level) for level in targets for method in settings.methods_at(level)
        ]
        objectives = list(track(choose_all(sources, cells), "unlearn", len(cells), "edits"))
    best: dict[str, tuple[float, str]] = {}
    for cell, value in zip(cells, objectives, strict=True):
        best[cell.level] = min(best.get(cell.level, (value, cell.method)), (value, cell.method))
    said = (f"{method} at the {level} ({value:.2f})" for level, (value, method) in best.items())
    return f"{len(cells)} edits were chosen on dev; the best by its objective (0 is perfect) is {', '.join(said)}"


if __name__ == "__main__":
    run("unlearn", main)
