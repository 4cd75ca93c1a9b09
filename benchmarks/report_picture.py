"""A picture of a run's page in Chromium: the first screen, or the tree as it opens, at the group that forgot.

uv run python -m benchmarks.report_picture run_7/report/index.html docs/runs/run_7/report.png
"""

import base64
import sys
import tempfile
from pathlib import Path

from tests.support.chromium import browser

SIZE = 1200, 1000  # pixels


def main() -> None:
    """The last argument, if any, is the id of what stands at the top."""
    page, picture, *place = sys.argv[1:]
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as tab:
        tab.open(Path(page).resolve(), *SIZE)
        for name in place:
            tab.run(f"document.getElementById('{name}').scrollIntoView({{behavior: 'instant'}})")
        tab.run("new Promise((done) => setTimeout(done, 200))")
        shot = tab.call("Page.captureScreenshot", format="png")["data"]
    Path(picture).write_bytes(base64.b64decode(shot))


if __name__ == "__main__":
    main()
