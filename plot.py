"""Pictures of all finished runs beside this file (run_*): `python plot.py` writes compare_*.png here."""

import argparse
from pathlib import Path

from pipeline.report.comparison import read_runs
from pipeline.report.comparison_pictures import comparison_pictures

HERE = Path(__file__).resolve().parent


def main() -> None:
    """One line for every picture; without a finished run, a sentence and exit code 1."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    folders = [folder for folder in HERE.glob("run_*") if (folder / "final_info.json").exists()]
    if not folders:
        raise SystemExit("error: there is no finished run here; run `python experiment.py --out_dir=run_7` first")
    for name, picture in comparison_pictures(read_runs(folders)).items():
        picture.savefig(HERE / f"{name}.png", dpi=150)
        print(f"{name}.png")


if __name__ == "__main__":
    main()
