"""The study: unlearning over seeds, levels, targets and methods; `python -m studies.world`, under study.yaml beside it.

Every cell is computed once and kept under data/study/; the same command goes on where it stopped. Finished cells are
gathered in results/, in place of what is committed; `python -m studies.tables` makes the tables of them.
"""

import argparse
import sys
from pathlib import Path

from pipeline.activations.store import ActivationStore
from pipeline.agreement.sides import stand_in
from pipeline.core.errors import PipelineError
from pipeline.core.files import building, fingerprint, write_json
from pipeline.core.progress import track
from pipeline.params import Params
from pipeline.sae.folder import save_dictionary
from studies.recommended import recommended
from studies.seed_world import make_home
from studies.world.cells import computing, gathered, missing, plan
from studies.world.settings import StudySettings, read_study

CELLS, RESULTS = Path("data/study"), Path(__file__).parent / "results"


def main() -> None:
    argparse.ArgumentParser(prog="python -m studies.world", description=__doc__).parse_args()
    try:
        study(read_study(), recommended())
    except PipelineError as error:
        sys.exit(f"error: {error}")


def study(wanted: StudySettings, params: Params) -> None:
    """Make the homes, compute what is missing, and gather what there is after every target."""
    shaped_by = {**params.plain(), "machine": None, "report": None, "evaluation": None}
    folder = (CELLS / fingerprint(shaped_by)[:12]).resolve()
    for seed in dict.fromkeys((*wanted.seeds, *wanted.headline_seeds)):
        home = make_home(folder / f"seed_{seed}" / "home", params, seed)
        if wanted.random_dictionary_methods and seed in wanted.seeds:
            make_random_home(folder / f"seed_{seed}" / "random_home", home, params, seed)
    cells = plan(wanted)
    groups = missing(cells, folder)
    for _ in track(computing(groups, folder, wanted, params), "study", len(groups), "targets"):
        for kind, rows in gathered(cells, folder).items():
            write_json(RESULTS / f"{kind}.json", rows)


def make_random_home(place: Path, home: Path, params: Params, seed: int) -> None:
    """The same world, model and store, with a dictionary of random directions and the tree that follows from it."""
    (place / "data").mkdir(parents=True, exist_ok=True)
    for name in ("corpus", "model", "activations.zarr"):
        if not (place / "data" / name).exists():
            (place / "data" / name).symlink_to(home / name)
    if not (place / "dictionary").exists():
        stranger = stand_in(ActivationStore.open(home / "activations.zarr"), home / "sae", seed)
        with building(place / "dictionary") as folder:
            save_dictionary(folder, stranger, {})
    make_home(place, params.but(sae=params.sae.but(pretrained=str(place / "dictionary"))), seed)


if __name__ == "__main__":
    main()
