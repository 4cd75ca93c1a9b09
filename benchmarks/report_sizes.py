"""The report's page at 2,304, 16,384 and 65,536 latents: its size, what making its tree takes, the first picture.

    uv run python -m benchmarks.report_sizes [CODES ...] > benchmarks/report_sizes.json

needs a finished run in data/ (whose tables and figures the page takes) and a Chromium, which draws the page at 1100 and
390 pixels. Codes and tree are synthetic: 20 features fire on a token, those of one block together; pairs join to blocks
of 16, which one spine takes up after the other, as sparse correlations make it. Seconds are wall and CPU of the
process; the first picture is Chromium's first contentful paint, and `answers` what it takes to search a word and draw.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.codes.store import SparseCodes
from pipeline.codes.words import WORDS
from pipeline.core.files import read_jsonl
from pipeline.core.yaml_text import read_yaml
from pipeline.language_model.token_text import TokenText
from pipeline.report.evidence import Evidence, read_evidence
from pipeline.report.page import page
from pipeline.report.reading import Named, Reading
from pipeline.report.tree_data import node_measures, tree_data
from pipeline.tree.feature_tree import FeatureTree
from studies.recommended import recommended
from tests.support.chromium import browser

DATA, SIZES = Path("data"), (2304, 16384, 65536)
TOKENS, LENGTH, ACTIVE, BLOCK = 200_000, 100, 20, 16
WINDOWS = {"desk": (1100, 900), "phone": (390, 844)}


def synthetic_codes(d_sae: int, vocabulary: int, seed: int = 0) -> SparseCodes:
    """A document uses some blocks of features only, and has some words of its own."""
    rng = np.random.default_rng(seed)
    document = np.repeat(np.arange(TOKENS // LENGTH), LENGTH)
    blocks = rng.integers(0, d_sae // BLOCK, (TOKENS // LENGTH, 8))[document]
    latent = blocks[:, rng.integers(0, 8, ACTIVE)] * BLOCK + rng.integers(0, BLOCK, (TOKENS, ACTIVE))
    latent.sort(axis=1)
    first = np.concatenate([np.ones((TOKENS, 1), bool), np.diff(latent, axis=1) > 0], axis=1)
    indptr = np.concatenate([[0], np.cumsum(first.sum(1))])
    token = (blocks[:, 0] * 7 + rng.integers(0, 12, TOKENS)) % vocabulary
    position = np.arange(TOKENS) % LENGTH
    columns = [np.asarray(column, np.int32) for column in (token, document, document, position)]
    value = rng.gamma(2, 1, int(indptr[-1])).astype(np.float32)
    return SparseCodes(indptr, latent[first].astype(np.uint32), value, *columns, d_sae)


def spine_of_blocks(d_sae: int) -> FeatureTree:
    """Blocks of 16 latents merge in pairs at correlations from 0.9 down; then each joins the spine, from 0.3 to 0."""
    merges: list[tuple[int, int, float, int]] = []
    nodes = list(range(d_sae))
    for level in range(4):
        pairs = list(zip(nodes[::2], nodes[1::2], strict=True))
        nodes = [d_sae + len(merges) + k for k in range(len(pairs))]
        merges += [
            (left, right, 0.1 + level / 10 + k / (20 * len(pairs)), 2 << level) for k, (left, right) in enumerate(pairs)
        ]
    top, size = nodes[0], BLOCK
    for k, block in enumerate(nodes[1:]):
        size += BLOCK
        merges.append((top, block, 0.7 + 0.3 * k / len(nodes), size))
        top = d_sae + len(merges) - 1
    return FeatureTree(np.array(merges, np.float64), np.arange(d_sae))


def write_page(d_sae: int, evidence: Evidence, folder: Path) -> dict[str, Any]:
    """Make the page with a tree of ``d_sae`` latents; what that took."""
    tokens, targets = TokenText.open(DATA / "model"), evidence.corpus["targets"]
    codes = synthetic_codes(d_sae, 400)
    documents = list(read_jsonl(DATA / "corpus/train.jsonl"))[: TOKENS // LENGTH]
    tree, settings = spine_of_blocks(d_sae), recommended().report
    wall, cpu = time.monotonic(), time.process_time()
    reading = Reading(codes, tokens, documents, targets)
    marked = {level: list(range(40)) for level in targets}
    data = tree_data(tree, evidence.cuts(), reading, marked, settings.shown_nodes, WORDS)
    data |= node_measures(data["id"], [], {})
    html = page(evidence, Named([], []), data, DATA / "report", {}, {})
    took = {"wall_s": round(time.monotonic() - wall, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    (folder / "index.html").write_text(html, encoding="utf-8")
    return {
        "latents": d_sae,
        "nodes_on_the_page": len(data["id"]),
        "page_mb": round(len(html.encode()) / 1e6, 2),
        **took,
    }


def look(file: Path, width: int, height: int) -> dict[str, float]:
    """Milliseconds to the first picture, and of a search with the drawing that follows, in a fresh browser."""
    search = (
        "(() => { const start = performance.now(); const box = document.getElementById('tree-search');"
        " box.value = 'a'; box.dispatchEvent(new Event('input')); return performance.now() - start; })()"
    )
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as tab:
        tab.open(file, width, height)
        assert tab.run("document.querySelectorAll('#tree-view path[data-k]').length") > 10 and not tab.messages
        paints = tab.run("performance.getEntriesByType('paint').map((paint) => paint.startTime)")
        return {"first_picture_ms": round(max(paints)), "answers_ms": round(tab.run(search))}


def main() -> None:
    folders = [DATA / name for name in ("evaluation", "unlearning", "dendrogram", "sae", "corpus")]
    evidence = read_evidence(*folders, [], DATA / "baselines", read_yaml(DATA / "params.yaml"))
    rows = []
    for d_sae in map(int, sys.argv[1:] or SIZES):
        with tempfile.TemporaryDirectory() as folder:
            row = write_page(d_sae, evidence, Path(folder))
            looks = {name: look(Path(folder) / "index.html", *size) for name, size in WINDOWS.items()}
        rows.append({**row, **looks})
    print(json.dumps({"date": time.strftime("%Y-%m-%d"), "load": round(os.getloadavg()[0], 1), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
