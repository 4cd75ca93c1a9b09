"""The worker of ``test_saebench.py``: our evals, then stock sae-bench by hand, in one process (its imports take long).

``python -m tests.support.saebench_process job.json`` runs the pipeline's own worker first. What the tests compare with
is written beside it: stock sae-bench on the same folder opened by SAELens, the transformers model, and the plumbing of
the evals that need a real model.
"""

import functools
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_jsonl
from pipeline.saebench import worker
from pipeline.saebench.job import BenchSettings, Job, read_job
from studies.dictionaries.stock import stock_by_hand
from tests.support.tiny_lm import llama, save_model


def main(job_path: Path) -> None:
    worker.main(job_path)
    job = read_job(job_path)
    llama_dir = save_model(job.out_dir / "llama", llama())
    found = {"gemma": against_transformers(job.model_dir), "llama": against_transformers(llama_dir)}
    found["seed_config"] = seed_config(job)
    found["edited_codes"] = edited_codes(job)
    found["refusals"] = refusals(job)
    found["by_rows"] = by_rows()
    stock_by_hand(job, job.out_dir / "stock")
    found |= {name: plumbing(job, name) for name in ("sae_probes", "absorption", "unlearning")}
    write_json(job.out_dir / "found.json", found)


def against_transformers(model_dir: Path) -> dict[str, float]:
    """Largest differences, in units of the largest value, of every residual stream and of the logits."""
    import torch
    from transformers import AutoModelForCausalLM

    from pipeline.saebench.model import load_hooked

    ids = torch.randint(4, 40, (3, 24), generator=torch.Generator().manual_seed(0))
    plain = AutoModelForCausalLM.from_pretrained(model_dir)
    hooked = load_hooked(model_dir, "tiny", "float32", "cpu")
    states = {}
    for i, layer in enumerate(plain.model.layers):  # the model's last hidden state is after the final norm
        layer.register_forward_hook(lambda _, __, out, i=i: states.__setitem__(i, out))
    with torch.no_grad():
        logits = plain(ids).logits
        ours, cache = hooked.run_with_cache(ids)
    gaps = {f"layer_{i}": _gap(cache[f"blocks.{i}.hook_resid_post"], state) for i, state in states.items()}
    return gaps | {"logits": _gap(ours, logits)}


def _gap(ours, theirs) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def edited_codes(job: Job) -> dict[str, float]:
    """sae-bench's reconstruction under an edit against that of ``pipeline.unlearning``, without the SAE's error."""
    import torch

    from pipeline.sae.folder import load_dictionary
    from pipeline.saebench.job import Edit
    from pipeline.saebench.sae import bench_saes
    from pipeline.unlearning.apply import rewrite
    from pipeline.unlearning.edit import no_edit

    latents, values, factors = (3, 7, 20), (-2.0, 0.0, 0.5), (0.0, 0.0, 1.5)
    dictionary = load_dictionary(job.sae_dir)
    plain, (_, edited) = bench_saes(replace(job, edits={"e": Edit(latents, values, factors)}), dictionary)
    columns = map(torch.tensor, (latents, values, factors))
    edit = no_edit("", (), 1)._replace(**dict(zip(("latents", "values", "factors"), columns, strict=True)))
    acts = torch.randn(4, 9, dictionary.d_model, generator=torch.Generator().manual_seed(0))
    expected = rewrite(edit, dictionary, acts, torch.ones(4, 9, dtype=torch.bool)) - acts  # what the edit adds
    found = edited(acts) - plain[1](acts)
    return {"largest_difference": _gap(found, expected), "changed": expected.norm().item()}


def by_rows() -> dict:
    """How many rows the losses of a batch of five are asked for, two at a time; whether they are those of the whole."""
    import torch

    from pipeline.saebench.evals import core

    rows = []

    def losses(sae, model, tokens_bt, *, scale):
        rows.append(len(tokens_bt))
        return {"loss": tokens_bt * scale, "last": tokens_bt[:, :-1] + 1}

    tokens_bt = torch.arange(15).reshape(5, 3)
    joined = core.by_rows(losses, 2)(None, None, tokens_bt, scale=3)
    seen, whole = list(rows), losses(None, None, tokens_bt, scale=3)
    return {"rows": seen, "equal": all(torch.equal(joined[name], whole[name]) for name in whole)}


def refusals(job: Job) -> list[str]:
    """What is said about local data that sae-bench can't use: no file, one label, nothing labelled twice."""
    from pipeline.saebench.data import read_probing, serve_crossed

    sentences = []
    for name, labels in (("none", ""), ("single", "a"), ("uncrossed", "ab")):
        folder = job.out_dir / name
        rows = [{"dataset": "d", "label": x, "text": x, "split": split} for x in labels for split in ("train", "test")]
        if rows:
            write_jsonl(folder / "probing.jsonl", rows)
        try:
            serve_crossed(replace(job, corpus_dir=folder)) if name == "uncrossed" else read_probing(folder)
        except PipelineError as error:
            sentences.append(str(error))
    return sentences


def seed_config(job: Job) -> dict:
    """Our configuration of sparse probing with every setting at its default."""
    from pipeline.saebench.evals.sparse_probing import config

    return asdict(config(replace(job, model_name="google/gemma-2-2b", settings=BenchSettings()), None))


def plumbing(job: Job, name: str) -> str:
    """An eval from end to end where its figures mean nothing: "ran", or the reason why not."""
    scratch = job.out_dir / "plumbing" / name
    settings = replace(job.settings, k_values=(1,))
    job = replace(job, out_dir=scratch, edits={}, evals=(name,), settings=settings)
    if name == "absorption":
        from pipeline.saebench.evals import absorption

        lenient = {"min_GT_probe_f1": -1, "min_feats_for_eval": 1, "k_sparse_probe_num_epochs": 1, "max_k_value": 2}
        absorption.AbsorptionEvalConfig = functools.partial(absorption.AbsorptionEvalConfig, **lenient)
    if name == "unlearning":
        job = unlearning_job(job)
    job.write(scratch / "job.json")
    worker.main(scratch / "job.json")
    failed = scratch / name / "failed.json"
    return json.loads(failed.read_text())["reason"] if failed.exists() else "ran"


def unlearning_job(job: Job) -> Job:
    """Questions, texts and preset ids where sae-bench looks for them: relative to the working directory."""
    import pandas as pd

    from pipeline.saebench.evals import unlearning
    from pipeline.saebench.evals.unlearning import FORGET, NEIGHBOUR, RETAIN

    small = {"retain_thresholds": [0.9], "n_features_list": [4, 8], "multipliers": [5]}
    unlearning.UnlearningEvalConfig = functools.partial(unlearning.UnlearningEvalConfig, **small)
    rows = {"question": ["aab bbc ccd"] * 8, "choices": [["aab", "bbc", "ccd", "dde"]] * 8, "answer": [0, 1, 2, 3] * 2}
    for subject in (FORGET, *RETAIN, NEIGHBOUR):
        repo = "cais/wmdp" if subject == FORGET else "cais/mmlu"
        path = Path(repo) / subject / "test.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_parquet(path)
        for split in ("all", "train", "test"):
            ids = job.out_dir / "question_ids" / split
            ids.mkdir(parents=True, exist_ok=True)
            full = subject if subject == FORGET else f"mmlu-{subject.replace('_', '-')}"
            for kind in ("correct", "correct-iff-question", "correct-no-tricks"):
                (ids / f"{full}_{kind}.csv").write_text("\n".join(map(str, range(8))) + "\n")
    for repo, subjects in (("cais/wmdp", (FORGET,)), ("cais/mmlu", (*RETAIN, NEIGHBOUR))):
        configs = [{"config_name": name, "data_files": [{"split": "test", "path": f"{name}/*"}]} for name in subjects]
        (Path(repo) / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    texts = [json.loads(line)["text"] for line in (job.corpus_dir / "train.jsonl").open()]
    wiki = Path("wikitext/wikitext-2-raw-v1/test.parquet")
    wiki.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"text": [" ".join(texts[:5])] * 20}).to_parquet(wiki)
    configs = [{"config_name": "wikitext-2-raw-v1", "data_files": [{"split": "test", "path": "wikitext-2-raw-v1/*"}]}]
    Path("wikitext/README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    corpus = job.out_dir / "forget.jsonl"
    corpus.write_text("".join(json.dumps({"text": " ".join(texts[5:10])}) + "\n" for _ in range(20)))
    settings = replace(
        job.settings,
        unlearning_sequences=4,
        unlearning_length=32,
        forget_corpus=str(corpus),
        question_ids=str(job.out_dir / "question_ids"),
    )
    from pipeline.saebench import model
    from pipeline.saebench.job import Edit

    name = "google/gemma-2-2b-it"
    model.serve(job.model_dir, name)
    shutil.rmtree(job.out_dir / "scratch", ignore_errors=True)
    ranking = tuple(range(40, 10, -1))
    edit = Edit(ranking, (0.0,) * len(ranking), (0.0,) * len(ranking))
    return replace(job, model_name=name, settings=settings, edits={"tree": edit})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
