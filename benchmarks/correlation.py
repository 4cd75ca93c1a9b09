"""Cost of the pair sums and of the tree, on synthetic codes with planted trees (L0 50), read from Zarr.

`python -m benchmarks.correlation FOLDER [CASE ...]` writes the codes to FOLDER once, runs each case in a process of its
own and writes benchmarks/correlation.json. CPU seconds (all threads, imports and compiled kernels loaded before) are
the figure to compare: wall time depends on what else runs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from benchmarks.correlation_codes import planted_codes, write_codes
from pipeline.codes.store import CodesStore
from pipeline.tree.bootstrap import bootstrap_trees, group_sums
from pipeline.tree.correlation import Correlation, computing, correlate, plan_for
from pipeline.tree.dendrogram import build_tree, cluster
from pipeline.tree.feature_tree import FeatureTree
from pipeline.tree.units import Source

CODES = {
    "2304 x 100k": (100_000, 2304),
    "16k x 1M": (1_000_000, 16_384),
    "65k x 1M": (1_000_000, 65_536),
    "262k x 500k": (500_000, 262_144),
    "1M x 200k": (200_000, 1_048_576),
}
MEMORY_MIB, THREADS = 2560, 2


def store(folder: Path, name: str) -> Path:
    path = folder / name.replace(" ", "")
    if not path.exists():
        write_codes(path, planted_codes(*CODES[name])[0])
    return path


def timed(work: Callable[[], dict]) -> dict:
    """What ``work`` says, with its wall and CPU seconds and the process's peak memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    said = work()
    status = Path("/proc/self/status").read_text()  # ru_maxrss would include the parent's peak before exec
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 2**20
    load = os.getloadavg()[0]
    return {
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_gib": round(peak, 2),
        "load": round(load, 1),
        **said,
    }


def correlated(path: Path, floor: float | None = 0.02) -> Correlation:
    source = Source(path, "token")
    with computing("threads", THREADS, MEMORY_MIB) as hands:
        plan = plan_for(source, MEMORY_MIB, hands)
        return correlate(source, "pearson", floor, 0.05, plan)


def pairs(path: Path) -> dict:
    result = correlated(path)
    return {"pairs": len(result.pairs.i), "significant": int(result.significant.sum())}


def scipy_product(path: Path) -> dict:
    codes = CodesStore.open(path).all()
    shape = (len(codes.doc_id), codes.n_latents)
    matrix = sparse.csr_array((codes.value, codes.index.astype(np.int32), codes.indptr), shape=shape)
    return {"nonzeros": int((matrix.T @ matrix).nnz)}


def dense_product(path: Path) -> dict:
    """BLAS on 1024 dense tokens, extrapolated to all of them."""
    store = CodesStore.open(path)
    codes = store.rows(0, 1024)
    dense = np.zeros((1024, store.n_latents), np.float32)
    dense[np.repeat(np.arange(1024), np.diff(codes.indptr)), codes.index] = codes.value
    start = time.process_time()
    dense.T @ dense
    seconds = time.process_time() - start
    return {"measured_tokens": 1024, "extrapolated_cpu_s": round(seconds * store.n_tokens / 1024)}


def fastcluster_tree(n_latents: int) -> dict:
    """Average linkage of random distances: the memory and time do not depend on them."""
    from pipeline.tree.linkage import linkage_of

    distance = np.random.default_rng(0).random(n_latents * (n_latents - 1) // 2)
    return {"merges": len(linkage_of(distance, "average"))}


def sparse_tree(path: Path) -> dict:
    """The tree beyond 32k latents, and whether its cuts are those of the exact component run."""
    result = correlated(path)
    latents = np.flatnonzero(result.sums.n >= 100)
    start = time.process_time()
    tree = build_tree(result, 100)
    seconds = time.process_time() - start
    exact = exact_components(path, result, latents, 0.25)
    same = {f"same_cut_{c}": bool(same_partition(tree.labels(c), exact.labels(c))) for c in (0.7, 0.5)}
    return {"latents": len(latents), "tree_cpu_s": round(seconds, 1), **same}


def exact_components(path: Path, result: Correlation, latents: np.ndarray, tau: float) -> FeatureTree:
    """Components of r > tau, each clustered alone with all true correlations, weak ones too: exact below 1 - tau."""
    leaf_of = np.full(len(result.sums.n), -1)
    leaf_of[latents] = np.arange(len(latents))
    i, j = leaf_of[result.pairs.i], leaf_of[result.pairs.j]
    strong = (i >= 0) & (j >= 0) & (result.pairs.r > tau)
    graph = sparse.coo_array((np.ones(strong.sum()), (i[strong], j[strong])), shape=(len(latents),) * 2)
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    codes = CodesStore.open(path).all()
    shape = (len(codes.doc_id), codes.n_latents)
    by_latent = sparse.csr_array((codes.value, codes.index.astype(np.int32), codes.indptr), shape=shape).tocsc()
    n_units, _, s, q = result.sums
    merges, roots, sizes = [], [], []
    order = np.argsort(component, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(component))[:-1]):
        ids = latents[members]
        block = by_latent[:, ids].astype(np.float64)
        gram = (block.T @ block).toarray()
        mean, sd = s[ids] / n_units, np.sqrt(q[ids] / n_units - (s[ids] / n_units) ** 2)
        r = (gram / n_units - np.outer(mean, mean)) / np.outer(sd, sd)
        distance = np.clip(1 - r[np.triu_indices(len(ids), 1)], 0, 2)
        _graft(merges, roots, sizes, members, distance, len(latents))
    return FeatureTree(_join(merges, roots, sizes, len(latents)), latents)


def _graft(merges: list, roots: list, sizes: list, members: np.ndarray, distance: np.ndarray, n: int) -> None:
    """Append one component's merges, renumbered into the whole."""
    from pipeline.tree.linkage import linkage_of

    number = list(members)
    for left, right, height, size in linkage_of(distance, "average") if len(members) > 1 else []:
        merges.append([number[int(left)], number[int(right)], height, size])
        number.append(n + len(merges) - 1)
    roots.append(number[-1])
    sizes.append(len(members))


def _join(merges: list, roots: list, sizes: list, n: int) -> np.ndarray:
    at, size = roots[0], sizes[0]
    for root, more in zip(roots[1:], sizes[1:], strict=True):
        size += more
        merges.append([at, root, 2.0, size])
        at = n + len(merges) - 1
    return np.array(merges)


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    both = len(np.unique(left.astype(np.int64) * (right.max() + 1) + right))
    return both == len(np.unique(left)) == len(np.unique(right))


def bootstraps(path: Path) -> dict:
    """The candidate pass, then 20 replicates."""
    result = correlated(path)
    latents = np.flatnonzero(result.sums.n >= 100)
    tree = FeatureTree(cluster(result, latents, "average"), latents)
    start = time.process_time()
    sums = group_sums(path, result, result.pairs.r > 0.02)
    candidate = time.process_time() - start
    start = time.process_time()
    trees = list(bootstrap_trees(result, sums, tree, "average", 20, 0))
    return {
        "candidate_pass_cpu_s": round(candidate, 1),
        "replicates_cpu_s": round(time.process_time() - start, 1),
        "replicates": len(trees),
    }


CASES: dict[str, tuple[Callable, str | int]] = {
    **{f"pairs {name}": (pairs, name) for name in CODES},
    "scipy X.T @ X 16k x 1M": (scipy_product, "16k x 1M"),
    "dense BLAS 16k x 1M": (dense_product, "16k x 1M"),
    "fastcluster 16k": (fastcluster_tree, 16_384),
    "fastcluster 32k": (fastcluster_tree, 32_768),
    "tree 65k x 1M": (sparse_tree, "65k x 1M"),
    "bootstraps 16k x 1M": (bootstraps, "16k x 1M"),
}


def run_case(folder: Path, case: str) -> None:
    """One case in this process; its line goes to stdout."""
    work, what = CASES[case]
    if isinstance(what, int):
        print(json.dumps(timed(lambda: work(what))))
        return
    correlated(store(folder, "2304 x 100k"))  # load the compiled kernels
    path = store(folder, what)
    print(json.dumps(timed(lambda: work(path))))


def main() -> None:
    folder, cases = Path(sys.argv[1]), sys.argv[2:]
    if cases[:1] == ["--here"]:
        run_case(folder, cases[1])
        return
    result = Path(__file__).with_suffix(".json")
    table = json.loads(result.read_text()) if result.exists() else {}
    for name in CODES:
        store(folder, name)
    for case in cases or CASES:
        command = [sys.executable, "-m", "benchmarks.correlation", str(folder), "--here", case]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        table[case] = json.loads(said.splitlines()[-1])
        print(case, table[case], flush=True)
        result.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
