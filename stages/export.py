"""A persistent edit as a model folder: `python -m stages.export --method npo/topic --out DIR`."""

import argparse
import sys
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.unlearning.export import export_edit, find_edit

MODEL, SAE, UNLEARNING = Path("data/model"), Path("data/sae"), Path("data/unlearning")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.export", description=__doc__)
    parser.add_argument("--method", required=True, help="method, or method/level, of an edit in data/unlearning")
    parser.add_argument("--out", required=True, type=Path, help="folder for the Hugging Face model")
    given = parser.parse_args()
    try:
        edit = find_edit(UNLEARNING, given.method)
        export_edit(edit, MODEL, SAE, given.out)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    print(f"{edit.parent.name}/{edit.name}: {given.out} is a Hugging Face folder that has forgotten the target")


if __name__ == "__main__":
    main()
