"""What the edits of a finished run forgot of a country and a region, on all test facts: `evaluate` has asked them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.files import read_json


def forgetting_rows(data: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A row for every method and target with its figures, then one for each target with the completions."""
    measured = read_json(data / "evaluation/unlearning.json")
    said = read_json(data / "evaluation/text/completions.json")
    targets = read_json(data / "unlearning/targets.json")
    for level, target in targets.items():
        for name, entry in measured.items():
            _, method, of = name.split("/")
            if of == level:
                figures = {"means": entry["means"], "stderrs": entry["stderrs"]}
                yield {"method": method, "level": level, "target": "/".join(target)} | figures
        yield {"level": level, "completions": said[level]}
