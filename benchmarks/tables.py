"""The tables on speed and memory, from the results beside this file; `python -m studies.tables` fills the pages."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from studies.markdown import table


def store_speed(found: dict[str, Any]) -> str:
    """The store against its peer and its limits, with the bars that were set for it."""
    writing, loading = found["writing"], found["loading"]
    rows = [
        ["writing, against SAELens in float32", writing["ratio_to_sae_lens_float32"], 8],
        ["writing, against SAELens in float16", writing["ratio_to_sae_lens_float16"], 5],
        ["loading shuffled batches, against SAELens", loading["ratio_to_sae_lens"], 12],
        ["training fed from disk, against from memory", found["training"]["ratio_disk_to_memory"], 0.97],
        ["caching, against its forward passes alone", found["caching"]["ratio_whole_to_bare"], 0.95],
    ]
    return table(["measure", "ratio", "bar"], [[name, f"{ratio:.2f}", str(bar)] for name, ratio, bar in rows])


def store_compression(found: dict[str, Any]) -> str:
    """What each form of the store costs on disk, in reading, and in a dictionary trained from it."""
    rows = [
        [
            row["form"],
            f"{row['bytes_per_row']:.0f}",
            f"{row['bytes_per_row'] / found['table'][0]['bytes_per_row']:.0%}",
            f"{row['read_cpu_s_per_gb']:.2f}",
            f"{row['explained_variance']:.4f}",
        ]
        for row in found["table"]
    ]
    head = ["form", f"bytes a row (d = {found['d_model']})", "size", "CPU s to read a GB", "explained variance"]
    return table(head, rows)


def store_memory(found: dict[str, Any]) -> str:
    """Peak memory of a process that loads and runs the first layers."""
    peaks = found["peak_mb_by_layers_loaded"]
    return table(["layers loaded", "peak, GB"], [[n, f"{mb / 1e3:.2f}"] for n, mb in peaks.items()])


def wide_vocabulary(found: dict[str, Any]) -> str:
    """Memory and time of what takes logits, all at once and a few tokens at a time."""
    what = {
        "judgement": f"judging a candidate: {found['probes']} probes, {found['texts']} texts of 128 tokens",
        "evaluation": "the same with the KL of the texts",
        "npo_step": "a step of NPO: 24 answers, 72 prompts and 2 texts to keep",
    }
    rows = [
        [what[row["work"]], made, f"{row['peak_mib'] / 1024:.2f}", f"{row['cpu_s']:.0f}"]
        for row in found["rows"]
        for made in ["a few" if row["chunked"] else "all"]
    ]
    return table(["work", "tokens at once", "peak, GiB", "CPU s"], rows)


def correlation(found: dict[str, Any]) -> str:
    """Cost of the pair sums and of the tree."""
    said = ("wall_s", "cpu_s", "peak_gib", "load")
    rows = [
        [case, *(str(row[name]) for name in said), ", ".join(f"{k} {v}" for k, v in row.items() if k not in said)]
        for case, row in found.items()
    ]
    return table(["case", "wall s", "CPU s", "peak GiB", "load", ""], rows)


def sae_speed(found: dict[str, Any]) -> str:
    """A training step against the limit and the peers; the bars that were set are 2.2, 3.5 and 4."""
    lines = []
    for row in found["shapes"]:
        ratios = [row["ratio"].get(peer) for peer in ("limit", "sae_lens", "dictionary_learning")]
        cells = ["not measured" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        *shape, dead, standardised = row["shape"]
        what = ", ".join(map(str, shape)) + (", standardised" if standardised else "")
        memory = " / ".join(f"{mib:,}" for mib in row.get("peak_mib", {}).values()) or "not measured"
        lines.append([what, f"{dead:.0%}", f"{row['tokens_per_cpu_second']:,}", *cells, memory, str(row["load"])])
    peers = [f"against {name}" for name in ("the limit", "SAELens", "dictionary_learning")]
    return table(["D, F, batch, k", "dead", "tokens a CPU second", *peers, "peak MiB, ours / theirs", "load"], lines)


def report_sizes(found: dict[str, Any]) -> str:
    """The page of the report with trees of different size."""
    said = ("nodes_on_the_page", "page_mb", "cpu_s")
    rows = [
        [
            f"{row['latents']:,}",
            *(str(row[name]) for name in said),
            *(str(row[window][name]) for window in ("desk", "phone") for name in ("first_picture_ms", "answers_ms")),
        ]
        for row in found["rows"]
    ]
    head = ["latents", "nodes on the page", "MB", "CPU s to make the tree"]
    return table([*head, "desk: first picture, ms", "a search, ms", "phone: first picture, ms", "a search, ms"], rows)


def inspect_speed(found: dict[str, Any]) -> str:
    """Seconds of every question to `pipeline inspect`."""
    rows = [[f"`{row['question']}`", f"{row['cpu_s']:.2f}", f"{row['wall_s']:.2f}"] for row in found["rows"]]
    return table(["question", "CPU s", f"wall s, at load {found['load']}"], rows)


def faults(found: dict[str, Any]) -> str:
    """Kills of experiment.py, and what was left of them."""
    rows = [
        [row["part"].replace("_", " "), str(row["kills"]), str(row["files_compared"]), str(len(row["differing_files"]))]
        for row in found["rows"]
    ]
    return table(["killed in", "times", "files compared", "differing"], rows)


def fuzz(found: dict[str, Any]) -> str:
    """How malformed corpora and mutated folders ended."""
    wrong = Counter(fault["kind"] for fault in found["faults"])
    rows = [
        [kind, *(str(ends.get(end, 0)) for end in ("refused", "read")), str(wrong[kind])]
        for kind, ends in found["tried"].items()
    ]
    return table(["input", "refused in one sentence", "read as meant", "wrong"], rows)


def full_disk(found: dict[str, Any]) -> str:
    """What a full disk and a second run end with."""
    rows = [[row["case"], "yes" if row["right"] else f"no: {row['said']}"] for row in found["rows"]]
    return table(["case", "one sentence, nothing half written, the next call continues"], rows)


# Table -> the result that it is made from, and how.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "store_speed": ("store_speed", store_speed),
    "store_compression": ("store_compression", store_compression),
    "store_memory": ("store_memory", store_memory),
    "correlation": ("correlation", correlation),
    "sae_speed": ("sae_speed", sae_speed),
    "report_sizes": ("report_sizes", report_sizes),
    "inspect_speed": ("inspect_speed", inspect_speed),
    "wide_vocabulary": ("wide_vocabulary", wide_vocabulary),
    "faults": ("faults", faults),
    "fuzz": ("fuzz", fuzz),
    "full_disk": ("full_disk", full_disk),
}
