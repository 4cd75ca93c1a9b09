"""Reads every stage's results; writes data/report (one page, figures) and data/final_info.json."""

from pathlib import Path

from pipeline.files import building, write_json, write_text
from pipeline.hierarchy.tree import load_tree
from pipeline.report.evidence import read_evidence
from pipeline.report.figures import tradeoffs, training_curves
from pipeline.report.final_info import collect
from pipeline.report.groups import chosen_groups
from pipeline.report.page import Pictures, page
from pipeline.report.provenance import hashes, versions
from pipeline.report.style import save_figures
from pipeline.report.tree_figure import marked_tree
from pipeline.settings.report import ReportSettings
from pipeline.settings.strict import read_section, read_yaml
from stages import PARAMS, run

CORPUS, MODEL, SAE, FEATURES = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/features.zarr")
DENDROGRAM, UNLEARNING, EVALUATION = Path("data/dendrogram"), Path("data/unlearning"), Path("data/evaluation")
BASELINE, REPORT = Path("data/baselines/sparse_probing_vanilla_sae.json"), Path("data/report")
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
    evidence = read_evidence(EVALUATION, UNLEARNING, DENDROGRAM, SAE, CORPUS, TIMES, BASELINE, read_yaml(PARAMS))
    final_info = collect(evidence.entries, evidence.sae_bench, evidence.baseline)
    chosen = chosen_groups(evidence, FEATURES, MODEL, settings)
    figures = {
        "dendrogram": marked_tree(load_tree(DENDROGRAM), evidence),
        "training": training_curves(evidence.training),
    }
    figures |= tradeoffs(evidence)
    made_of = hashes([MODEL / "model.safetensors", SAE / "sae_weights.safetensors", DENDROGRAM / "linkage.npy"])
    with building(REPORT, settings) as folder:
        save_figures(folder, figures)
        html = page(evidence, chosen, Pictures(folder), versions(), made_of)
        write_text(folder / "index.html", html)
    write_json(Path("data/final_info.json"), final_info)
    return f"{len(final_info)} entries of figures, {len(figures)} plots, a page of {len(html) / 1e6:.1f} MB"


if __name__ == "__main__":
    run("report", main)
