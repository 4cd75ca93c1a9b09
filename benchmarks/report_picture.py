"""A picture of a run's page in Chromium: the tree, and the group whose cutting takes most of the topic alone.

uv run python -m benchmarks.report_picture run_7/report/index.html docs/runs/run_7/report.png
"""

import base64
import sys
import tempfile
from pathlib import Path

from tests.support.chromium import browser

SIZE = 1000, 1420  # pixels
# The shown node that takes most from the target beyond what it takes from anything else, by the page's own data.
CHOOSE = """
(() => {
  const data = JSON.parse(document.getElementById('tree-data').textContent);
  const level = 'topic' in data.targets ? 'topic' : Object.keys(data.targets)[0];
  const gain = ([, row]) => {
    const { forget, ...rest } = row.targets[level];
    return forget - Math.max(...Object.values(rest));
  };
  const [k] = Object.entries(data.cutting).sort((a, b) => gain(b) - gain(a))[0];
  document.getElementById('tree-colour').value = 'retain:' + level;
  document.getElementById('tree-search').value = data.text[data.words[k][0]];
  document.getElementById('tree-search').dispatchEvent(new Event('input'));
  document.getElementById('tree-found').replaceChildren();
  const path = document.querySelector(`#tree-view path[data-k="${k}"]`);
  const box = (path || document.querySelector('#tree-view')).getBoundingClientRect();
  return [Number(k), box.x + box.width / 2, box.bottom - 4, data.id[k]];
})()
"""


def main() -> None:
    page, picture = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as tab:
        tab.open(page.resolve(), *SIZE)
        tab.run("document.getElementById('tree-search').closest('.controls').scrollIntoView()")
        _, x, y, number = tab.run(CHOOSE)
        tab.click(x, y)
        tab.run("new Promise((done) => setTimeout(done, 200))")
        print(tab.run("document.querySelector('#tree-node h4').textContent"), f"(wanted: node {number})")
        shot = tab.call("Page.captureScreenshot", format="png")["data"]
    picture.write_bytes(base64.b64decode(shot))


if __name__ == "__main__":
    main()
