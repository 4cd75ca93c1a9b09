"""Which retriever finds exactly what two examples mean? All retrievers on the worlds of several seeds.

    uv run python -m studies.scope FOLDER 0 1 2

makes the worlds in FOLDER (five minutes a seed on two quiet cores; kept) and writes results/retrievers.json as it goes:
per seed and retriever the average precision of the rest of each topic and the border precision at each level, for every
draw and node in order. A seed that is in the file is not computed again. The settings in params.yaml were chosen on
seed 100, which is not among those to report.
"""

import sys
from functools import partial
from pathlib import Path

from pipeline.core.files import read_json, write_json
from pipeline.core.processes import prepare_process
from pipeline.evaluation.scope import all_scope_figures
from pipeline.scope.stored import open_stored
from pipeline.unlearning.subject import open_forest, open_subject, read_pool
from studies.recommended import recommended
from studies.seed_world import seed_world

RESULT = Path(__file__).parent / "results/retrievers.json"


def main(folder: Path, seeds: list[int]) -> None:
    prepare_process(threads=1)
    rows = read_json(RESULT)["rows"] if RESULT.exists() else []
    for seed in seeds:
        if seed not in {row["seed"] for row in rows}:
            rows += measure(seed_world(folder, seed), seed)
            write_json(RESULT, {"rows": rows})


def measure(data: Path, seed: int) -> list[dict]:
    """One row a retriever: ``{"seed", "retriever", figure: [values]}``."""
    subject = open_subject(
        data / "model", data / "sae", data / "corpus", recommended().activations, {"domain": 0}, "cpu"
    )
    stored = open_stored(data / "corpus", data / "features.zarr", data / "activations.zarr")
    reading = partial(read_pool, subject, data / "corpus", stored)
    found = all_scope_figures(open_forest(data / "dendrogram"), data / "corpus", reading, recommended().scope, seed)
    rows = []
    for name, entry in found.items():
        values = {figure: list(kept["value_by_index"].values()) for figure, kept in entry["values"].items()}
        rows.append({"seed": seed, "retriever": name.removeprefix("scope/"), **values})
        print(seed, name, entry["means"], flush=True)
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]])
