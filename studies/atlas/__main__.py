"""What a real Gemma knows of real countries, measured on a finished run.

    uv run --group gemma python experiment.py --out_dir=gemma-3-270m && uv run python -m studies.atlas

reads data/ and writes a file in results/ for each part; a part that is asked for by name is made alone. Of
`countries`, `dictionaries` and `robustness` only what is missing is made, as it comes; `generalisation` needs babel
(`uv run --with babel`). `python -m studies.tables` makes the tables of them.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json
from pipeline.core.processes import MachineSettings, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.corpus.settings import CorpusSettings
from studies.atlas.countries import country_rows
from studies.atlas.dictionaries import dictionary_rows
from studies.atlas.finding import finding_rows
from studies.atlas.forgetting import forgetting_rows
from studies.atlas.generalisation import generalisation_rows
from studies.atlas.passages import read_passages
from studies.atlas.robustness import robustness_rows
from studies.atlas.seeds import seed_rows
from studies.atlas.trees import tree_rows

DATA, RESULTS = Path("data"), Path(__file__).parent / "results"
Rows = Iterator[dict[str, Any]]
PARTS: dict[str, Callable[[Path, int], Rows]] = {
    "trees": lambda data, seed: tree_rows(read_passages(data), data, seed),
    "finding": lambda data, seed: finding_rows(read_passages(data), seed),
    "seeds": seed_rows,
    "dictionaries": lambda data, seed: dictionary_rows(data, seed, stored("dictionaries")),
    "forgetting": forgetting_rows,
    "generalisation": generalisation_rows,
    "robustness": lambda data, seed: robustness_rows(data, seed, stored("robustness")),
    "countries": lambda data, seed: country_rows(data, seed, stored("countries")),
    "layers": lambda data, seed: iter([read_json(data / "model/layers.json")]),
    "stages": lambda data, seed: map(read_json, sorted((data / "times").glob("*.json"))),
}

RESUMED = "countries", "dictionaries", "robustness"


def stored(name: str) -> list[dict[str, Any]]:
    """The rows of a part that are there."""
    file = RESULTS / f"{name}.json"
    return read_json(file)["rows"] if file.exists() else []


def main(names: list[str]) -> None:
    """Make the named parts, or all; every row is kept as it comes."""
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        raise PipelineError(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if read_section(DATA / "params.yaml", CorpusSettings, "corpus").source != "atlas":
        door = "uv run --group gemma python experiment.py --out_dir=gemma-3-270m"
        raise PipelineError(f"{DATA} holds no run on the atlas of countries; make one: `{door}`")
    prepare_process(read_section(DATA / "params.yaml", MachineSettings, "machine").threads)
    seed = read_section(DATA / "params.yaml", RunSettings, "run").seed
    for name in names or PARTS:
        rows = stored(name) if name in RESUMED else []
        for row in PARTS[name](DATA, seed):
            rows.append(row)
            write_json(RESULTS / f"{name}.json", {"rows": rows})
            print(name, *(value for value in row.values() if isinstance(value, str | int)), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except PipelineError as error:
        sys.exit(f"error: {error}")
