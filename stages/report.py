"""Reads every stage's results; writes data/report (one page, pictures) and data/final_info.json."""

from pathlib import Path

from pipeline.codes.words import WORDS
from pipeline.core.files import building, read_json, write_json, write_text
from pipeline.core.settings import read_section, read_sections
from pipeline.report.comparison import curves
from pipeline.report.evidence import hashes, made_now, read_evidence, versions
from pipeline.report.final_info import collect
from pipeline.report.finding import finding, main_level
from pipeline.report.metrics import metrics, trade_off_rows, training_rows
from pipeline.report.page import page
from pipeline.report.pictures import save_pictures, tradeoffs, training_curves, tree_in_training
from pipeline.report.reading import SHOWN_GROUPS, named, read_codes
from pipeline.report.settings import ReportSettings
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
    params = read_sections(PARAMS, without="machine")
    evidence = read_evidence(EVALUATION, UNLEARNING, DENDROGRAM, SAE, CORPUS, TIMES, BASELINES, params)
    final_info = collect(evidence.entries, evidence.sae_bench, evidence.baselines.seed)
    reading, tree = read_codes(FEATURES, MODEL, CORPUS, read_json(UNLEARNING / "targets.json")), load_tree(DENDROGRAM)
    clamped = evidence.clamped_latents()
    explorable = tree_data(tree, evidence.cuts(), reading, clamped, settings.shown_nodes, WORDS)
    explorable |= node_measures(explorable["id"], read_json(DENDROGRAM / "tree.json")["merges"], evidence.cutting)
    pictures = {
        **tradeoffs(evidence),
        **tree_in_training(evidence.training),
        "dendrogram": marked_tree(tree, evidence),
        "clustermap": clustermap(tree, read_correlation(CORRELATION, evidence.groups["scale"]), evidence.cuts()),
        "training": training_curves(evidence.training),
    }
    made_of = hashes([MODEL / "model.safetensors", SAE / "sae_weights.safetensors", DENDROGRAM / "linkage.npy"])
    with building(REPORT) as folder:
        save_pictures(folder, pictures)
        names = named(evidence, reading, SHOWN_GROUPS, WORDS)
        html = page(evidence, names, explorable, folder, versions(), made_of, made_now(params["name"], Path()))
        write_text(folder / "index.html", html)
        write_json(folder / "curves.json", curves(evidence))
        write_text(folder / "training.csv", training_rows(evidence))
        write_text(folder / "tradeoff.csv", trade_off_rows(evidence))
        write_json(folder / "words.json", words_of_all(tree, reading, explorable, WORDS))
    write_json(Path("data/final_info.json"), final_info)
    write_json(Path("data/metrics.json"), metrics(evidence))
    return finding(evidence, main_level(evidence))


if __name__ == "__main__":
    run("report", main)
