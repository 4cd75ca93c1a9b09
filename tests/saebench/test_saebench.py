"""The real sae-bench on a model folder and an SAE folder: equal to stock sae-bench, and one crash costs one eval.

One process runs every eval (``saebench_process.py``); the tests read what it left.
"""

import dataclasses
import json
import os
import random
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json, write_jsonl
from pipeline.params import resolve
from pipeline.saebench import run
from pipeline.saebench.job import BenchSettings, Edit, Job, bench_settings, edits_of, read_job
from pipeline.saebench.results import result_path
from pipeline.unlearning.edit import clamped, save_edit
from tests.support.tiny_lm import gemma

D_MODEL, D_SAE = 32, 64
TOPICS, KINDS = ("a", "b", "c", "d"), ("x", "y")
WORDS = [f"{first}{second}{first}" for first in string.ascii_lowercase for second in "aeiou"]
SETTINGS = BenchSettings(
    data="local",
    dtype="float32",
    device="cpu",
    context_length=16,
    llm_batch_size=64,
    probe_train_size=60,
    probe_test_size=24,
    k_values=(1, 2, 5, 50),  # the last is beyond the model's width
    ablation_sizes=(2, 10),
    probe_epochs=3,
    core_reconstruction_batches=2,
    core_sparsity_batches=2,
)
EVALS = ("core", "sparse_probing", "tpp", "scr")
MASKED = Edit(tuple(range(D_SAE // 2)), (0.0,) * (D_SAE // 2), (0.0,) * (D_SAE // 2))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """``model``, ``sae`` and ``corpus`` in one folder."""
    root = tmp_path_factory.mktemp("saebench")
    sizes = {"hidden_size": D_MODEL, "num_hidden_layers": 2, "vocab_size": 192, "max_position_embeddings": 128}
    model = gemma(**sizes, pad_token_id=0, eos_token_id=1, bos_token_id=2)
    model.model.embed_tokens.weight.data *= 50  # so that the residual stream of a random model still tells the words
    model.save_pretrained(root / "model")
    _tokenizer().save_pretrained(root / "model")
    _write_sae(root / "sae")
    _write_corpus(root / "corpus")
    return root


def _tokenizer() -> PreTrainedTokenizerFast:
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *"ABCD", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **special)


def _write_sae(folder: Path) -> None:
    """A JumpReLU dictionary in SAELens' format, its decoder rows of length 0.3 and not 1."""
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL, generator=rng), dim=1)
    tensors = {"W_enc": rows.T.contiguous(), "b_enc": torch.zeros(D_SAE), "W_dec": 0.3 * rows}
    tensors |= {"b_dec": 0.1 * torch.randn(D_MODEL, generator=rng), "threshold": torch.full((D_SAE,), 0.1)}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": "jumprelu", "d_in": D_MODEL, "d_sae": D_SAE, "dtype": "float32", "device": "cpu"}
    config |= {"apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none"}
    write_json(folder / "cfg.json", config | {"metadata": {"sae_lens_version": "6.37.0"}})


def _write_corpus(folder: Path) -> None:
    """Sentences whose words tell their topic, and one more word their kind; labelled by both."""
    rng = random.Random(0)
    rows = []
    for split, per_label in (("train", 50), ("test", 22)):
        for t, topic in enumerate(TOPICS):
            for n in range(per_label):
                words = [*rng.choices(WORDS[t * 20 : t * 20 + 25], k=8), WORDS[-1 - n % 2]]
                text = " ".join(words)
                rows.append({"dataset": "topic", "label": topic, "text": text, "split": split})
                rows.append({"dataset": "kind", "label": KINDS[n % 2], "text": text, "split": split})
    write_jsonl(folder / "probing.jsonl", rows)
    write_jsonl(folder / "train.jsonl", [{"text": row["text"], "path": [], "kind": "general"} for row in rows])


@pytest.fixture(scope="module")
def finished(folders) -> tuple[Path, dict]:
    """The output folder and the summary of one worker that ran everything."""
    out = folders / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "WORKER", "tests.support.saebench_process")
        summary = _run(folders, out, EVALS, edits={"masked": MASKED})
    return out, summary


def _run(folders: Path, out: Path, evals: tuple[str, ...], settings: BenchSettings = SETTINGS, **more) -> dict:
    return run.run_saebench(folders / "model", folders / "sae", folders / "corpus", out, evals, 1, settings, **more)


def test_a_wide_vocabulary_is_read_few_rows_at_a_time(finished):
    """Every token's loss is that of the whole batch."""
    assert read_json(finished[0] / "found.json")["by_rows"] == {"rows": [2, 2, 1], "equal": True}


def test_every_eval_ran(finished):
    out, summary = finished
    assert summary["failed"] == {}, (out / "worker.log").read_text()[-4000:]
    assert set(summary["metrics"]) == set(EVALS)
    assert json.loads(json.dumps(summary, allow_nan=False)) == read_json(out / "summary.json")


@pytest.mark.parametrize(("name", "layers"), [("gemma", 2), ("llama", 4)])
def test_the_hooked_model_equals_the_transformers_model_at_every_layer(finished, name, layers):
    gaps = read_json(finished[0] / "found.json")[name]
    assert set(gaps) == {"logits", *(f"layer_{i}" for i in range(layers))}
    assert max(gaps.values()) < 1e-5


@pytest.mark.parametrize("name", ["core", "sparse_probing"])
def test_our_figures_equal_those_of_stock_sae_bench_on_the_folder_that_saelens_opens(finished, name):
    out, summary = finished
    stock = run.flat_metrics(out / "stock" / name, "stock")
    assert summary["metrics"][name] == pytest.approx(stock, abs=1e-4, rel=1e-4)


def test_per_latent_rows_of_core_equal_stock(finished):
    ours, stock = (
        read_json(finished[0] / where)["eval_result_details"]
        for where in ("core/sae_custom_sae_eval_results.json", "stock/core/stock_custom_sae_eval_results.json")
    )
    assert len(ours) == D_SAE
    for name in ("feature_density", "encoder_decoder_cosine_sim", "max_decoder_cosine_sim"):
        assert [row[name] for row in ours] == pytest.approx([row[name] for row in stock], abs=1e-4)


def test_sparse_probing_finds_the_topic_and_an_edit_that_masks_latents_changes_the_figures(finished):
    _, summary = finished
    plain, masked = (figures["sparse_probing"] for figures in (summary["metrics"], summary["edited"]["masked"]))
    assert plain["llm_test_accuracy"] > 0.8
    assert plain["sae_top_5_test_accuracy"] > 0.6
    assert masked["llm_test_accuracy"] == plain["llm_test_accuracy"]
    assert masked["sae_top_5_test_accuracy"] != plain["sae_top_5_test_accuracy"]
    assert summary["edited"]["masked"]["core"]["l0"] < summary["metrics"]["core"]["l0"]


def test_a_k_beyond_the_width_is_left_out_and_the_others_stand(finished):
    metrics = finished[1]["metrics"]["sparse_probing"]
    assert "sae_top_5_test_accuracy" in metrics
    assert "sae_top_50_test_accuracy" not in metrics


def test_the_default_settings_are_the_seeds_configuration_to_the_letter(finished, root):
    baseline = read_json(root / "data/baselines/sparse_probing_vanilla_sae.json")
    assert read_json(finished[0] / "found.json")["seed_config"] == baseline["eval_config"]


def test_local_data_that_can_not_be_probed_is_refused_in_one_sentence(finished):
    missing, single, uncrossed = read_json(finished[0] / "found.json")["refusals"]
    assert missing.endswith("probing.jsonl is missing; run `uv run dvc repro prepare`")
    assert "data set d needs at least two labels, each with train and test texts" in single
    assert "no two data sets that label the same texts" in uncrossed


@pytest.mark.parametrize("name", ["sae_probes", "absorption", "unlearning"])
def test_evals_that_need_a_real_model_run_from_end_to_end(finished, name):
    assert read_json(finished[0] / "found.json")[name] == "ran"


def test_the_published_unlearning_score_is_sae_benchs_own_for_a_flat_and_for_a_given_ranking(finished):
    folder = finished[0] / "plumbing/unlearning/unlearning"
    for name in ("sae", "tree"):
        published = run.flat_metrics(folder, name)["unlearning_score"]
        assert read_json(folder / f"{name}_corrected.json")["published"] == pytest.approx(published)


def test_a_second_call_runs_nothing(finished, folders, monkeypatch):
    monkeypatch.setattr(run, "_worker", lambda job: pytest.fail("a worker was started"))
    again = _run(folders, finished[0], EVALS, edits={"masked": MASKED})
    assert again == finished[1]


def test_other_settings_or_another_sae_are_not_taken_from_the_folder(finished, folders, monkeypatch):
    started = []
    monkeypatch.setattr(run, "_worker", lambda job: started.append(job.evals) or 1)
    monkeypatch.setattr(run, "_last_line", lambda job: "stopped")
    monkeypatch.setattr(run.shutil, "rmtree", lambda *args, **kwargs: None)
    _run(folders, finished[0], ("core",), dataclasses.replace(SETTINGS, seed=7))
    assert started == [("core",)]


class FakeWorker:
    """Stands for the worker process: ``script`` says how each eval ends, a number being the exit of the process."""

    def __init__(self, script: dict):
        self.script, self.started = script, []

    def __call__(self, job: Job) -> int:
        self.started.append(job.evals)
        for name in job.evals:
            write_json(job.out_dir / name / "started.json", {})
            if isinstance(self.script[name], int):
                return self.script[name]
            if self.script[name] == "done":
                write_json(result_path(job.out_dir / name, "sae"), {"eval_result_metrics": {"c": {"m": 1.0}}})
                done = {"fingerprint": job.fingerprint(name), "seconds": 1.0, "peak_mb": 1}
                write_json(job.out_dir / name / "done.json", done)
            else:
                write_json(job.out_dir / name / "failed.json", {"reason": self.script[name]})
        return 0


def test_an_eval_that_kills_the_process_costs_itself_only_and_finished_ones_do_not_run_again(
    folders, tmp_path, monkeypatch
):
    fake = FakeWorker({"core": "done", "scr": -9, "tpp": "ValueError: no", "sparse_probing": "done"})
    monkeypatch.setattr(run, "_worker", fake)
    summary = _run(folders, tmp_path, ("core", "scr", "tpp", "sparse_probing"))
    assert fake.started == [("core", "scr", "tpp", "sparse_probing"), ("tpp", "sparse_probing")]
    assert summary["failed"] == {
        "scr": "the worker process ended with signal SIGKILL while it ran scr",
        "tpp": "ValueError: no",
    }
    assert summary["metrics"] == {"core": {"m": 1.0}, "sparse_probing": {"m": 1.0}}


def test_failed_evals_are_tried_again_by_the_next_call(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_worker", FakeWorker({"core": "done", "tpp": "ValueError: no"}))
    _run(folders, tmp_path, ("core", "tpp"))
    fake = FakeWorker({"tpp": "done"})
    monkeypatch.setattr(run, "_worker", fake)
    assert _run(folders, tmp_path, ("core", "tpp"))["failed"] == {}
    assert fake.started == [("tpp",)]


def test_a_worker_that_can_not_start_gives_its_last_line_as_the_reason(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "WORKER", "pipeline.no_such_module")
    summary = _run(folders, tmp_path, ("core",))
    assert "before any eval" in summary["failed"]["core"]
    assert "No module named pipeline.no_such_module" in summary["failed"]["core"]


def test_an_unknown_eval_is_refused(folders, tmp_path):
    with pytest.raises(PipelineError, match="sae-bench eval 'sparse' is unknown; choose from core, sparse_probing"):
        _run(folders, tmp_path, ("sparse",))


def test_a_job_comes_back_from_its_file(tmp_path):
    paths = {name: tmp_path / name for name in ("model_dir", "sae_dir", "corpus_dir", "out_dir")}
    job = Job(
        **paths,
        evals=("core",),
        hook_layer=1,
        hook_name="blocks.1.hook_resid_post",
        model_name="m",
        content="c",
        settings=SETTINGS,
        edits={"e": Edit((1, 2), (-3.0, 0.0), (0.0, 0.5))},
    )
    job.write(tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == job


def test_local_data_is_never_searched_on_the_hub(folders, tmp_path):
    local, hub = (
        run.environment(run._job(*_places(folders, tmp_path), settings, None), os.environ)
        for settings in (SETTINGS, dataclasses.replace(SETTINGS, data="hub"))
    )
    assert local["HF_DATASETS_OFFLINE"] == "1"
    assert hub.get("HF_DATASETS_OFFLINE") == os.environ.get("HF_DATASETS_OFFLINE")
    assert local["JAXTYPING_DISABLE"] == "1"


def _places(folders: Path, out: Path) -> tuple:
    return folders / "model", folders / "sae", folders / "corpus", out, ("core",), "blocks.1.hook_resid_post"


def test_standard_errors_are_those_over_data_sets(finished):
    out, summary = finished
    rows = read_json(out / "sparse_probing/sae_custom_sae_eval_results.json")["eval_result_details"]
    values = np.array([row["sae_top_1_test_accuracy"] for row in rows])
    expected = values.std(ddof=1) / np.sqrt(len(values))
    assert summary["stderrs"]["sparse_probing"]["sae_top_1_test_accuracy"] == pytest.approx(expected)
    assert summary["stderrs"]["core"] == {}, "its rows are latents"


def test_an_edit_rewrites_codes_as_the_pipeline_does(finished):
    found = read_json(finished[0] / "found.json")["edited_codes"]
    assert found["largest_difference"] < 1e-5
    assert found["changed"] > 0


def test_what_was_finished_is_copied_and_stays(tmp_path):
    write_json(tmp_path / "out/summary.json", {"failed": {"tpp": "no"}})
    for name in ("core", "scr", "scratch"):
        write_json(tmp_path / "out" / name / "done.json", {})
    run.keep(tmp_path / "out", tmp_path / "kept", ("core", "tpp"))
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["core", "summary.json"]
    assert (tmp_path / "out/core/done.json").exists()


def test_edits_of_latents_are_taken_over_and_others_are_refused(tmp_path):
    edit = clamped("subtree", "topic", ("d", "t"), 1, [[5, 3], [9]], torch.ones(10), 2.0, {})
    save_edit(tmp_path / "subtree/topic", edit)
    found = edits_of(tmp_path, ["subtree/topic", "level_cut/topic"])
    assert found == {"subtree_topic": Edit((5, 3, 9), (-2.0,) * 3, (0.0,) * 3)}
    save_edit(tmp_path / "grad_diff/topic", edit._replace(weights={"w": torch.ones(1)}))
    with pytest.raises(PipelineError, match="has grad_diff/topic, which does more than rewrite latents"):
        edits_of(tmp_path, ["grad_diff/topic"])


def test_a_gemma_run_probes_with_the_seeds_configuration(root):
    """Whatever run.seed is: its draw of texts is sae-bench's own, as in the seed's baseline."""
    params = resolve(root / "params.yaml", root / "runs", "gemma-2-2b").params
    settings = bench_settings(params.evaluation, params.machine, 7, "cuda")
    default = BenchSettings()
    for name in ("data", "dtype", "context_length", "llm_batch_size", "sae_batch_size", "k_values", "seed"):
        assert getattr(settings, name) == getattr(default, name), name
    assert (settings.probe_train_size, settings.probe_test_size) == (4000, 1000)
