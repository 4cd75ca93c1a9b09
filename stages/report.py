"""Reads every stage's results; writes data/report (one page, figures) and data/final_info.json."""

from pathlib import Path

from pipeline.core.files import building, read_json, write_json, write_text
from pipeline.core.settings import read_section, read_yaml
from pipeline.report.evidence import collect, read_evidence
from pipeline.report.groups import chosen_groups, clamped_latents
from pipeline.report.page import Pictures, page
from pipeline.report.pictures import curves, tradeoffs, training_curves, tree_in_training
from pipeline.report.provenance import hashes, versions
from pipeline.report.reading import read_codes
from pipeline.report.settings import ReportSettings
from pipeline.report.style import save_figures
from pipeline.report.tree_data import node_measures, tree_data, words_of_all
from pipeline.report.tree_pictures import clustermap, marked_tree
from pipeline.tree.correlation_file import read_correlation
from pipeline.tree.feature_tree import load_tree
from stages import PARAMS, run

CORPUS, MODEL, SAE, FEATURES = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/features.zarr")
CORRELATION, DENDROGRAM, UNLEARNING = Path("data/correlation.zarr"), Path("data/dendrogram"), Path("data/unlearning")
EVALUATION, REPORT = Path("data/evaluation"), Path("data/report")
BASELINES = Path("data/baselines")
TIMES = [
    Path("data/times/prepare.json"),
    Path("data/times/cache_activations.json"),
    Path("data/times/train_sae.json"),
    Path("data/times/encode_features.json"),
    Path("data/times/correlate.json"),
    Path("data/times/build_dendrogram.json"),
    Path("data/times/unlearn.json"),
    Path("data/times/evaluate.json"),
]


def main() -> str:
    settings = read_section(PARAMS, ReportSettings, "report")
    evidence = read_evidence(EVALUATION, UNLEARNING, DENDROGRAM, SAE, CORPUS, TIMES, BASELINES, read_yaml(PARAMS))
    final_info = collect(evidence.entries, evidence.sae_bench, evidence.baselines.seed)
    reading, tree = read_codes(FEATURES, MODEL, CORPUS, read_json(UNLEARNING / "targets.json")), load_tree(DENDROGRAM)
    chosen, clamped = chosen_groups(evidence, reading, settings), clamped_latents(evidence)
    explorable = tree_data(tree, evidence.cuts(), reading, clamped, settings.shown_nodes, settings.words_per_group)
    explorable |= node_measures(explorable["id"], read_json(DENDROGRAM / "tree.json")["merges"], evidence.cutting)
    figures = {
        **tradeoffs(evidence),
        **tree_in_training(evidence.training),
        "dendrogram": marked_tree(tree, evidence),
        "clustermap": clustermap(tree, read_correlation(CORRELATION, evidence.groups["scale"]), evidence.cuts()),
        "training": training_curves(evidence.training),
    }
    made_of = hashes([MODEL / "model.safetensors", SAE / "sae_weights.safetensors", DENDROGRAM / "linkage.npy"])
    with building(REPORT) as folder:
        save_figures(folder, figures)
        html = page(evidence, chosen, explorable, Pictures(folder), versions(), made_of)
        write_text(folder / "index.html", html)
        write_json(folder / "curves.json", curves(evidence))
        write_json(folder / "words.json", words_of_all(tree, reading, explorable, settings.words_per_group))
    write_json(Path("data/final_info.json"), final_info)
    return f"{len(final_info)} entries of figures, {len(figures)} plots, a page of {len(html) / 1e6:.1f} MB"


if __name__ == "__main__":
    run("report", main)
