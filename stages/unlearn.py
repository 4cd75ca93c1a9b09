"""Every method on every target: the edit that did best on the dev split, with its sweep and its cost."""

import time
from pathlib import Path

from pipeline.files import building, write_json
from pipeline.language_model.loading import pick_device
from pipeline.progress import track
from pipeline.runtime import prepare_process
from pipeline.settings.activations import ActivationsSettings
from pipeline.settings.run import RunSettings
from pipeline.settings.scope import ScopeSettings
from pipeline.settings.strict import read_section
from pipeline.settings.unlearning import UnlearningSettings
from pipeline.unlearning.case import Case
from pipeline.unlearning.curve import area, points
from pipeline.unlearning.edit import save_edit
from pipeline.unlearning.methods import METHODS
from pipeline.unlearning.subject import count_training_texts, open_case, open_forest, open_pool, open_subject
from stages import PARAMS, run

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")
UNLEARNING = Path("data/unlearning")


def main() -> str:
    shared = read_section(PARAMS, RunSettings, "run")
    activations = read_section(PARAMS, ActivationsSettings, "activations")
    settings = read_section(PARAMS, UnlearningSettings, "unlearning")
    prepare_process(shared.threads)
    subject = open_subject(MODEL, SAE, CORPUS, activations, settings.targets, pick_device(shared.device))
    scope = read_section(PARAMS, ScopeSettings, "scope")
    forest, firing = open_forest(DENDROGRAM), count_training_texts(subject)
    searched = any("scope_npo" in settings.methods_at(level) for level in subject.targets)
    documents = open_pool(subject, forest, CORPUS, shared.seed) if searched else None
    with building(UNLEARNING) as folder:
        write_json(folder / "targets.json", subject.targets)
        cells = [(level, method) for level in subject.targets for method in settings.methods_at(level)]
        case: Case | None = None
        best = []
        for level, method in track(cells, "unlearn", len(cells), "edits"):
            if case is None or case.level != level:
                case = open_case(subject, forest, firing, level, settings, shared.seed)
                case = case._replace(documents=documents, scope=scope)
            best.append(f"{method}/{level} {choose(case, method, folder):.2f}")
    return f"dev objective (0 is perfect): {', '.join(best)}"


def choose(case: Case, method: str, folder: Path) -> float:
    """Let one method choose its edit; keeps the edit, its sweep and its seconds; returns the dev objective."""
    started = time.monotonic()
    choice = case.once(METHODS[method])
    cell = folder / method / case.level
    save_edit(cell, choice.edit)
    seconds = round(time.monotonic() - started, 2)
    write_json(
        cell / "sweep.json", {"seconds": seconds, "area": area(points(choice.sweep)), "candidates": choice.sweep}
    )
    return min(row["objective"] for row in choice.sweep)


if __name__ == "__main__":
    run("unlearn", main)
