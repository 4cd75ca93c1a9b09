"""What the model knows, the dictionary keeps, the tree shows, and each edit forgot and broke: on the test split."""

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.codes.store import CodesStore
from pipeline.core.files import building, contents, read_json, write_json
from pipeline.core.kept import Kept, code_of
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.evaluation.completions import all_completions
from pipeline.evaluation.forgetting import all_forgetting_figures, some_text
from pipeline.evaluation.hierarchy import Places, hierarchy_figures
from pipeline.evaluation.knowledge import language_model_figures, sae_figures
from pipeline.evaluation.node_effects import cuts_of_nodes
from pipeline.evaluation.scope import all_scope_figures
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.saebench.job import bench_settings, edits_of
from pipeline.saebench.run import keep, run_saebench
from pipeline.scope.documents import load_reading
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.firing import count_firing
from pipeline.unlearning.subject import open_forest, open_subject
from stages import PARAMS, run

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")
FEATURES, CORRELATION = Path("data/features.zarr"), Path("data/correlation.zarr")
UNLEARNING, EVALUATION = Path("data/unlearning"), Path("data/evaluation")
READING = UNLEARNING / "documents.npz"
KEPT = EVALUATION.parent / "partial/figures"  # those of every edit, for a call that goes on or has another edit
PACKAGES = ("core", "corpus", "evaluation", "language_model", "sae", "unlearning")  # they are made with
SAE_BENCH = EVALUATION.parent / "partial/sae_bench"  # outlives a killed or repeated call, with every finished eval
TEST_LOGITS = 1 << 31  # of text on which the dictionary and its groups are judged
PLACES = Places(DENDROGRAM, CORRELATION, FEATURES, SAE, CORPUS, MODEL)


def main() -> str:
    seed = read_section(PARAMS, RunSettings, "run").seed
    machine = read_section(PARAMS, MachineSettings, "machine")
    activations = at_layer(read_section(PARAMS, ActivationsSettings, "activations"), MODEL)
    settings = read_section(PARAMS, EvaluationSettings, "evaluation")
    scope_settings = read_section(PARAMS, ScopeSettings, "scope")
    prepare_process(machine.threads)
    device = pick_device(machine.device)
    targets = read_json(UNLEARNING / "targets.json")
    bench_of = edits_of(UNLEARNING, settings.sae_bench_edits)
    asked, sizes = settings.sae_bench, bench_settings(settings, machine, seed, device)
    with building(EVALUATION) as folder, ThreadPoolExecutor(1) as beside:
        benching = beside.submit(run_saebench, MODEL, SAE, CORPUS, SAE_BENCH, asked, activations.layer, sizes, bench_of)
        if machine.unlearn_workers == 1:
            wait([benching])  # nothing is opened beside it: each holds the model
        subject = open_subject(MODEL, SAE, CORPUS, activations, targets, device)
        probes, texts = subject.split("test", "novel")
        bench = subject.bench(probes, some_text(subject, texts, TEST_LOGITS, seed))
        before = bench.measure(no_edit("", (), subject.layer))
        codes = CodesStore.open(FEATURES)
        language_model = language_model_figures(bench, before, MODEL, seed)
        write_json(folder / "language_model.json", {"language_model": language_model})
        sae = sae_figures(bench, before, codes.rates(), seed)
        write_json(folder / "sae.json", {"sae": sae})
        forest, held_out, decoder = open_forest(DENDROGRAM), count_firing(bench), subject.dictionary.W_dec.cpu().numpy()
        groups = folder / "tree/groups.json"
        hierarchy = hierarchy_figures(forest, held_out, decoder, PLACES, seed, groups)
        write_json(folder / "hierarchy.json", {"hierarchy": hierarchy})
        scale = read_json(DENDROGRAM / "groups.json")["scale"]
        tree, cuts = forest.trees[scale], forest.cuts[scale]
        cutting = cuts_of_nodes(subject, tree, cuts, held_out, settings.cut_nodes, seed)
        write_json(folder / "tree" / "cutting.json", cutting)
        scope = all_scope_figures(forest, CORPUS, lambda: load_reading(READING), scope_settings, seed)
        write_json(folder / "scope.json", scope)
        inputs = contents((CORPUS, MODEL, SAE))
        kept = Kept(KEPT, [seed, str((activations, machine.threads, device)), code_of(*PACKAGES), inputs])
        unlearning = all_forgetting_figures(subject, UNLEARNING, seed, kept)
        write_json(folder / "unlearning.json", unlearning)
        write_json(folder / "text/completions.json", all_completions(subject, UNLEARNING, seed))
        summary = benching.result()
        keep(SAE_BENCH, folder / "sae_bench", asked)
    kept.forget_others()
    failed = "".join(f"; sae-bench {name} failed: {reason}" for name, reason in summary["failed"].items())
    m, s = language_model["means"], sae["means"]
    return (
        f"the unedited model completes {m.get('heldout_cloze', float('nan')):.1%} of the test facts, the dictionary "
        f"explains {s['explained_variance']:.1%} of the variance, and {len(unlearning)} edits are measured{failed}"
    )


if __name__ == "__main__":
    run("evaluate", main)
