"""Finished runs side by side: `python -m stages.compare run_*`; `--markdown` and `--json` print the same tables."""

import argparse
import json
import sys
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.report.run_tables import as_markdown, comparison
from pipeline.report.runs import read_runs


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders that experiment.py wrote")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")
    form.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    try:
        content = comparison(read_runs(given.runs))
    except PipelineError as error:
        sys.exit(f"error: {error}")
    if given.markdown:
        print(as_markdown(content))
    elif given.json:
        print(json.dumps(content, ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        from pipeline.inspection.show import show

        show(content, Console())


if __name__ == "__main__":
    main()
