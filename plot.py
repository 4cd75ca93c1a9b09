"""Finished runs beside this file as pictures and a page: `python plot.py` writes compare_*.png and compare.html here.

A finished run is a folder, whatever its name, that holds a final_info.json.
"""

import argparse
from pathlib import Path

from pipeline.core.files import write_text
from pipeline.report.comparison import read_runs
from pipeline.report.comparison_page import comparison_page
from pipeline.report.comparison_pictures import comparison_pictures

HERE = Path(__file__).resolve().parent


def main() -> None:
    """One line for everything written; without a finished run, a sentence and exit code 1."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    folders = [file.parent for file in HERE.glob("*/final_info.json") if file.parent.name != "data"]
    if not folders:
        raise SystemExit("error: there is no finished run here; run `python experiment.py --out_dir=run_7` first")
    runs = read_runs(folders)
    for name, picture in comparison_pictures(runs).items():
        picture.savefig(HERE / f"{name}.png", dpi=150, bbox_inches="tight")
        print(f"{name}.png")
    write_text(HERE / "compare.html", comparison_page(runs))
    print("compare.html")


if __name__ == "__main__":
    main()
