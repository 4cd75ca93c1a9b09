"""The study: unlearning over seeds, levels, targets and methods; `python -m stages.study`, under runs/study.yaml.

Every cell is computed once and kept under data/study/; the same command goes on where it stopped. Finished cells are
gathered in docs/study/, from which `python -m benchmarks.study_tables` makes the tables.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import fingerprint, write_json
from pipeline.progress import track
from pipeline.settings.resolve import Params, resolve
from pipeline.study.cells import Cell, compute, gathered, missing, plan
from pipeline.study.homes import make_home

STUDY, RESULTS = Path("data/study"), Path("docs/study")


def main() -> None:
    try:
        params = resolve(Path("params.yaml"), Path("runs"), "study").params
        study(params)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def study(params: Params) -> None:
    """Make the homes, compute what is missing, and gather what there is after every target."""
    shaped_by = dataclasses.asdict(dataclasses.replace(params, report=None, evaluation=None, study=None))
    folder = (STUDY / fingerprint(shaped_by)[:12]).resolve()
    content = dataclasses.asdict(params)
    homes = {s: make_home(folder / f"seed_{s}" / "home", content, s, Path.cwd()) for s in params.study.seeds}
    cells = list(plan(params.study))
    groups = missing(cells, folder)
    for _ in track(finished(groups, homes, folder, params), "study", len(groups), "targets"):
        for kind, rows in gathered(cells, folder).items():
            write_json(RESULTS / f"{kind}.json", rows)


def finished(groups: list[list[Cell]], homes: dict[int, Path], folder: Path, params: Params) -> Iterator[int]:
    """Compute the groups, on dask workers where several are asked for; yields as each is done."""
    if params.study.workers == 1 or len(groups) < 2:
        yield from (compute(group, homes[group[0].seed], folder, params) for group in groups)
        return
    from distributed import Client, LocalCluster, as_completed

    cluster = LocalCluster(n_workers=params.study.workers, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        asked = [client.submit(compute, group, homes[group[0].seed], folder, params, pure=False) for group in groups]
        for future in as_completed(asked):
            yield future.result()


if __name__ == "__main__":
    main()
