"""A made-up data/ folder for the tests of the report: two targets, six latents, text that attacks the page."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models

from pipeline.codes.store import SparseCodes
from pipeline.codes.writer import CodesWriter
from pipeline.core.files import read_json, write_json, write_jsonl
from pipeline.core.yaml_text import as_yaml
from pipeline.tree.export import write_tree
from pipeline.tree.feature_tree import FeatureTree

PLANTED = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'
WORDS = ["<pad>", "river", PLANTED, "$x_{$", "guild", "harbor", "the", "metal"]
# The latents active on each token; the documents are lines of train.jsonl.
TOKENS = [
    (1, 0, [0, 1]), (2, 0, [0, 1, 5]), (6, 0, [5]), (1, 1, [0, 1]), (2, 1, [1]),
    (4, 2, [2, 3]), (5, 2, [2]), (6, 2, [5]), (4, 3, [2, 3]), (7, 3, [3]), (6, 3, [4]),
]  # fmt: skip
NODES = ["<b>d0</b>", "t$1$", "e2"]
DOCUMENTS = [{"text": PLANTED, "path": path, "kind": "profile"} for path in (NODES[:2], NODES[:2], ["other"], [])]
DROPS = {"sibling_drop": 12.5, "other_drop": 1.0, "general_drop": 0.5}


def write_all(data: Path, levels: tuple[str, ...] = ("topic", "entity"), drops: dict[str, float] = DROPS) -> None:
    """Every input of the report under ``data``."""
    write_corpus(data, levels)
    write_codes(data / "features.zarr")
    write_hierarchy(data / "dendrogram")
    write_unlearning(data, levels, drops)
    write_rest(data)


def targets_of(data: Path) -> dict[str, list[str]]:
    return read_json(data / "unlearning/targets.json")


def write_corpus(data: Path, levels: tuple[str, ...]) -> None:
    nodes = NODES[: len(levels)]
    corpus = {
        "levels": list(levels),
        "nodes": {level: [nodes[: depth + 1]] for depth, level in enumerate(levels)},
        "source": {"kind": PLANTED},
        "counts": {"documents": 4},
    }
    write_json(data / "corpus/corpus.json", corpus)
    targets = {level: nodes[: depth + 1] for depth, level in enumerate(levels)}
    write_json(data / "unlearning/targets.json", targets)
    documents = [{**row, "path": nodes if row["path"] == NODES[:2] else row["path"]} for row in DOCUMENTS]
    write_jsonl(data / "corpus/train.jsonl", documents)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    (data / "model").mkdir(parents=True)
    Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>")).save(str(data / "model/tokenizer.json"))


def write_codes(path: Path) -> None:
    token, document, active = zip(*TOKENS, strict=True)
    indptr = np.cumsum([0, *map(len, active)])
    index = np.concatenate(active).astype(np.uint16)
    position = [sum(other == doc for other in document[:k]) for k, doc in enumerate(document)]
    columns = [np.array(column, np.int32) for column in (token, document, document, position)]
    with CodesWriter(path, len(TOKENS), 6, {}) as writer:
        writer.append(SparseCodes(indptr, index, np.linspace(1, 2, len(index), dtype=np.float32), *columns, 6))


def write_hierarchy(folder: Path) -> None:
    """Latents 0, 1 merge at correlation 0.9, 2, 3 at 0.8, those four at 0.3; 4 and 5 at 0.1, all at 0."""
    merges = [[0, 1, 0.1, 2], [2, 3, 0.2, 2], [6, 7, 0.7, 4], [4, 5, 0.9, 2], [8, 9, 1.0, 6]]
    tree = FeatureTree(np.array(merges, float), np.arange(6))
    cuts = [{"level": n, "correlation": r, "groups": g, "ari": 0.8, "ari_sd": 0.1, "ari_null": 0.0}
            for n, r, g in ((1, 0.25, 1), (2, 0.5, 2))]  # fmt: skip
    stability = {"summary": "6 latents", "cuts": cuts, "cophenetic_correlation": 0.7, "replicates": 5}
    for place in (folder, folder / "token", folder / "document"):
        about = {"scale": "document", "similarity": "phi", "linkage": "average"}
        write_tree(place, tree, [0.25, 0.5], about, [0.85], np.array([0.9, 0.85, 0.75, np.nan, np.nan]))
        edges = [{"child": child, "parent": 5, "phi": 0.5, "loevinger": 0.75} for child in (0, 1)]
        write_json(place / "parents.json", {**about, "edges": edges})
        write_json(place / "stability.json", stability)


def write_unlearning(data: Path, levels: tuple[str, ...], drops: dict[str, float]) -> None:
    entries = {}
    for level in levels:
        target = ["<b>d0</b>"]
        untouched = {"forget_mcq": 0.99, "forget_cloze": 0.97, "latents": 0.0, "seconds": 0.0}
        entries[f"unlearning/none/{level}"] = entry(untouched | dict.fromkeys(drops, 0.0))
        for number, method in enumerate(("subtree", "guard_flat", "random_groups")):
            means = {"forget_mcq": 0.27 + number / 5, "forget_cloze": 0.04, "latents": 3.0, "seconds": 1.5}
            entries[f"unlearning/{method}/{level}"] = entry(means | drops)
            cell = data / "unlearning" / method / level
            edit = {"version": 2, "method": method, "level": level, "target": target, "layer": 1, "guard_bias": None}
            write_json(cell / "edit.json", edit | {"groups": [[0, 1], [5]], "settings": {"multiplier": 1.0}})
            rows = [
                {"latents": k, "forget_choice": 0.9 - k / 10, "forget_cloze": 0.9 - k / 10, "objective": number + 1 / k}
                | {name: drops.get(name) for name in DROPS}
                for k in (1, 2, 4)
            ]
            write_json(cell / "sweep.json", {"seconds": 1.5, "area": 0.125, "candidates": rows})
    write_json(data / "evaluation/unlearning.json", entries)
    said = {"relation": "forget", "prompt": f"{PLANTED} is", "answer": "$x_{$", "before": PLANTED}
    said["after"] = dict.fromkeys(("subtree", "guard_flat", "random_groups"), "the river")
    completions = {level: {"target": ["<b>d0</b>"], "prompts": [said]} for level in levels}
    write_json(data / "evaluation/text/completions.json", completions)
    write_json(data / "evaluation/relearning.json", {"relearning/subtree": entry({"cloze_half_10": 0.25})})
    lost = {level: {"forget": 60.0, "other": -1.5} for level in levels}
    row = {"node": 8, "all": 12.5, "of_target": lost, "worst": [{"place": NODES[:2], "drop": 60.0, "probes": 4}]}
    cohering = {"group": 0, "latents": [0, 1, 2, 3], "words": [PLANTED], "coherence_lift": 0.25, "decoder_lift": None}
    write_json(data / "evaluation/tree/groups.json", [{"level": 1, "correlation": 0.25, "groups": [cohering]}])
    write_json(data / "evaluation/tree/cutting.json", {"multiplier": 1, "probes": 20, "nodes": [row]})


def entry(means: dict[str, float]) -> dict:
    stderrs = {name: 0.02 for name in means if name.startswith("forget") or name.endswith("drop")}
    return {"means": means, "stderrs": stderrs, "values": {}}


def write_rest(data: Path) -> None:
    hierarchy = {"groups_level_1": 1.0, "stability_ari_level_1": 0.8, "cophenetic_correlation": 0.7}
    write_json(data / "evaluation/hierarchy.json", {"hierarchy": entry(hierarchy)})
    write_json(data / "evaluation/sae.json", {"sae": entry({"explained_variance": 0.8, "l0": 2.5})})
    write_json(data / "evaluation/language_model.json", {"language_model": entry({"heldout_cloze": 0.97})})
    summary = {"metrics": {"sparse_probing": {"sae_top_1_test_accuracy": 0.71}}, "failed": {"core": PLANTED}}
    summary["unlearning_corrected"] = {"sae": {"published": 0.2, "score": 0.123, "calibrated": 0.0}}
    write_json(data / "evaluation/sae_bench/summary.json", summary)
    curves = [
        {"step": s, "loss": 1 / s, "explained_variance": 0.1 * s, "l0": 3.0, "dead_share": 0.0} for s in (1, 2, 3)
    ]
    cuts = [{"level": 1, "correlation": 0.25, "groups": 2, "ari": 0.5, "ari_null": 0.0}]
    snapshots = [{"step": 1, "cuts": [{"level": 1, "groups": 3}]}, {"step": 2, "cuts": cuts}]  # the first has no before
    training = {"curves": curves, "snapshots": snapshots, "final": {}, "seed": 0}
    write_json(data / "sae/training.json", training | {"settings": {"architecture": "batch_topk"}})
    write_json(
        data / "sae/cfg.json", {"architecture": "jumprelu", "d_sae": 6, "d_in": 4, "metadata": {"model_name": PLANTED}}
    )
    for stage in ("prepare", "evaluate"):
        machine = {"threads": 1, "device": PLANTED}
        row = {"stage": stage, "seconds": 2.0, "summary": PLANTED, "machine": machine}
        write_json(data / f"times/{stage}.json", row)
    (data / "params.yaml").write_text(as_yaml({"run": {"seed": 3}, "corpus": {"note": PLANTED}}))
    write_json(data / "baselines/sparse_probing_vanilla_sae.json", probing("bios_results", 0.68, 0.5))
    vanilla = {"dictionaries": {f"vanilla {PLANTED}": {"sae_top_1_test_accuracy": 0.66}}}
    world = {"datasets": ["world_domain_results"], **vanilla}
    write_json(data / "baselines/sparse_probing_world.json", world)
    ours = data / "evaluation/sae_bench/sparse_probing/sae_custom_sae_eval_results.json"
    write_json(ours, probing("world_domain_results", 0.9, 0.71))


def probing(dataset: str, llm: float, sae: float) -> dict:
    """A result file of sae-bench's sparse probing."""
    llm_row, sae_row = {"llm_top_1_test_accuracy": llm}, {"sae_top_1_test_accuracy": sae}
    return {
        "eval_result_metrics": {"llm": llm_row, "sae": sae_row | {"sae_top_100_test_accuracy": None}},
        "eval_result_details": [{"dataset_name": dataset, **llm_row, **sae_row}],
        "sae_cfg_dict": {"hook_layer": 5},
        "layer": 19,
        "training_steps": 0,
    }
