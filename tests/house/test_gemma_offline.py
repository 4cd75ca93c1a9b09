"""runs/gemma-2-2b.yaml without a network: all of it from a cache filled under the real ids, with a tiny Gemma-2 and a

few documents; and the one sentence that is said where the cache lacks something or the hub is out of reach.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from pipeline.core.files import read_json, read_jsonl
from pipeline.core.yaml_text import read_yaml
from pipeline.language_model.tiny import train_tokenizer
from pipeline.unlearning.settings import UnlearningSettings
from tests.support import hub_cache
from tests.support.all_stages import SHRUNK, run_all_stages
from tests.support.settings import recommended

ROOT = Path(__file__).resolve().parents[2]
GEMMA = "google/gemma-2-2b"
CHECK_AND_WRITE = """
import sys
from pathlib import Path
from pipeline.core.errors import PipelineError
from pipeline.corpus.sources import check_sources
from pipeline.corpus.write import write_corpus
from pipeline.params import resolve
params = resolve(Path("params.yaml"), Path("runs"), "gemma-2-2b").params
try:
    check_sources(params.corpus, params.language_model.source, params.language_model.revision)
    write_corpus(params.corpus, 0, Path(sys.argv[1]))
except PipelineError as error:
    sys.exit(f"error: {error}")
"""


def overlay() -> dict[str, Any]:
    return read_yaml(ROOT / "runs/gemma-2-2b.yaml")


def rows_of(source: dict[str, Any]) -> list[dict[str, Any]]:
    """Twelve made-up rows with the columns that the real data set has."""
    what = source.get("name", source["dataset"])
    if "choices" in source:
        options = ["first", "second", "third", "fourth"]
        return [{"question": f"{what} question {i}?", "choices": options, "answer": i % 4} for i in range(12)]
    sentence = f"A made-up sentence about {what.replace('-', ' ')} for passage number"
    return [{"text": "\n".join(f"{sentence} {i} {j}." for j in range(12))} for i in range(12)]


def sources() -> list[dict[str, Any]]:
    corpus = overlay()["corpus"]
    return [*corpus["training_text"], *corpus["texts"], *corpus["probes"]]


def fill_datasets(home: Path) -> None:
    """Every data set of the overlay, each configuration once."""
    done = set()
    for source in sources():
        place = (source["dataset"], source["name"], source.get("split", "train"))
        if place not in done:
            done.add(place)
            hub_cache.add_dataset(home, *place, rows_of(source))


def fill_model(home: Path) -> None:
    """The files that a check looks for."""
    snapshot = hub_cache.model_folder(home, GEMMA)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (snapshot / name).write_text("{}")


def fill_tiny_gemma(home: Path) -> None:
    """A random Gemma-2 in bfloat16, seven layers deep so that layer 5 can be hooked, with a tokenizer."""
    snapshot = hub_cache.model_folder(home, GEMMA)
    texts = [" ".join(map(str, row.values())) for source in sources() for row in rows_of(source)]
    tokenizer = train_tokenizer(texts, "bpe", 400)
    tokenizer.save_pretrained(snapshot)
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=7,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=32,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    Gemma2ForCausalLM(config).to(torch.bfloat16).save_pretrained(snapshot)


def check_and_write(home: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run(
        [sys.executable, "-c", CHECK_AND_WRITE, str(folder)],
        cwd=ROOT,
        env=inherited | {"HF_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
    )


def test_the_corpus_is_written_from_a_filled_cache(tmp_path: Path) -> None:
    fill_datasets(tmp_path / "home")
    fill_model(tmp_path / "home")
    done = check_and_write(tmp_path / "home", tmp_path / "corpus", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    corpus = json.loads((tmp_path / "corpus/corpus.json").read_text())
    assert [corpus["nodes"][level][0][-1] for level in ("domain", "topic")] == ["computing", "cybersecurity"]
    assert {source["commit"] for source in corpus["source"]["sources"]} == {hub_cache.COMMIT}
    probes = list(read_jsonl(tmp_path / "corpus/probes.jsonl"))
    assert len(probes) == 12 * len(overlay()["corpus"]["probes"])
    first = probes[0]
    assert first["prompt"].startswith("wmdp-cyber question 0?\nA. first\nB. second")
    assert (first["answer"], first["options"]) == ("A", ["A", "B", "C", "D"])
    texts = list(read_jsonl(tmp_path / "corpus/texts.jsonl"))
    assert max(len(row["text"]) for row in texts) <= 1600
    assert any(row["path"] == [] for row in texts)


@pytest.mark.parametrize("lacking", ["everything", "one split"])
def test_an_offline_run_names_what_the_cache_lacks(tmp_path: Path, lacking: str) -> None:
    if lacking == "one split":
        fill_datasets(tmp_path / "home")
        fill_model(tmp_path / "home")
        (info,) = (tmp_path / "home/datasets/cais___wmdp/wmdp-cyber").rglob("dataset_info.json")
        info.write_text(info.read_text().replace('"test"', '"validation"'))
    done = check_and_write(tmp_path / "home", tmp_path / "corpus", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("error: HF_HUB_OFFLINE=1 is set and the local cache")
    assert "data set cais/wmdp (wmdp-cyber, test)" in sentence
    assert (f"model {GEMMA}" in sentence) == (lacking == "everything")
    assert (f"accept its licence at https://huggingface.co/{GEMMA} and set HF_TOKEN" in sentence) == (
        lacking == "everything"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "corpus").exists()


def test_no_network(tmp_path: Path) -> None:
    """A refused connection stands for every network that is not there."""
    done = check_and_write(tmp_path / "home", tmp_path / "corpus", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("error: cannot reach https://huggingface.co (ConnectError), from which this run reads")
    assert f"model {GEMMA}, dataset HuggingFaceFW/fineweb" in sentence
    assert "dataset cais/wmdp" in sentence
    assert f"accept its licence at https://huggingface.co/{GEMMA} and set HF_TOKEN" in sentence
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "corpus").exists()


def test_every_stage_runs_offline(tmp_path: Path) -> None:
    fill_datasets(tmp_path / "home")
    fill_tiny_gemma(tmp_path / "home")
    (tmp_path / "work").mkdir()
    random = {"least_known": 0}  # as a random model knows nothing
    shrunk = {"extends": ["gemma-2-2b"], "correlation": {"window": 16}, "language_model": random} | SHRUNK
    done = run_all_stages(tmp_path / "work", shrunk, HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "failed" not in done.stdout  # an eval of sae-bench that fails costs only that eval
    info = read_json(tmp_path / "work/data/final_info.json")
    assert {"language_model", "sae", "hierarchy", "sae_bench/core", "sae_bench/sparse_probing"} <= info.keys()
    for method in ("none", *recommended(UnlearningSettings).methods):
        for level in ("domain", "topic"):
            assert 0 <= info[f"unlearning/{method}/{level}"]["means"]["forget_mcq"] <= 1
    store = read_json(tmp_path / "work/data/activations.zarr/zarr.json")["attributes"]
    assert (store["model"]["id"], store["model"]["revision"], store["layer"]) == (GEMMA, hub_cache.COMMIT, 5)
