"""Every method on every target: the edit that did best on the dev split, with its sweep and its cost."""

from pathlib import Path

from pipeline.corpora.targets import choose_targets
from pipeline.files import building, read_json, write_json
from pipeline.progress import track
from pipeline.settings.activations import ActivationsSettings
from pipeline.settings.run import RunSettings
from pipeline.settings.scope import ScopeSettings
from pipeline.settings.strict import read_section
from pipeline.settings.unlearning import UnlearningSettings
from pipeline.unlearning.choosing import choose_all
from pipeline.unlearning.sources import Cell, Sources
from stages import PARAMS, run

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")
UNLEARNING = Path("data/unlearning")


def main() -> str:
    shared = read_section(PARAMS, RunSettings, "run")
    activations = read_section(PARAMS, ActivationsSettings, "activations")
    scope = read_section(PARAMS, ScopeSettings, "scope")
    settings = read_section(PARAMS, UnlearningSettings, "unlearning")
    targets = choose_targets(read_json(CORPUS / "corpus.json")["nodes"], settings.targets)
    sources = Sources(MODEL, SAE, CORPUS, DENDROGRAM, shared, activations, scope, settings)
    with building(UNLEARNING) as folder:
        write_json(folder / "targets.json", targets)
        cells = [
            Cell(level, method, folder / method / level) for level in targets for method in settings.methods_at(level)
        ]
        objectives = list(track(choose_all(sources, cells), "unlearn", len(cells), "edits"))
    best = (f"{cell.method}/{cell.level} {value:.2f}" for cell, value in zip(cells, objectives, strict=True))
    return f"dev objective (0 is perfect): {', '.join(best)}"


if __name__ == "__main__":
    run("unlearn", main)
