"""params.yaml and the selected run's overlay become data/params.yaml, checked and complete, before any stage runs."""

from pathlib import Path

from pipeline.files import write_text
from pipeline.settings.resolve import as_yaml, resolve
from stages import PARAMS, run

SELECTED_RUN = Path("data/run")  # written by experiment.py; without it, params.yaml as it is


def main() -> str:
    name = SELECTED_RUN.read_text(encoding="utf-8").strip() if SELECTED_RUN.exists() else None
    resolved = resolve(Path("params.yaml"), Path("runs"), name)
    print(resolved.sentence, flush=True)
    write_text(PARAMS, as_yaml(resolved.params))
    return f"{PARAMS} is valid"


if __name__ == "__main__":
    run("params", main)
