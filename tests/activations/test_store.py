"""The activation store against the model: every row, its token and its place; order, statistics, damage."""

import functools
import json
import shutil

import numpy as np
import pytest
import torch

from pipeline.activations.arithmetic import arithmetic_for, computing
from pipeline.activations.build import build_store, hook_points
from pipeline.activations.caching import hooked_forward
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.activations.writer import merge_statistics
from pipeline.core.errors import PipelineError
from pipeline.core.processes import MachineSettings
from tests.support.settings import recommended
from tests.support.tiny_lm import WORDS, gemma, llama, save_model, word_tokenizer

SMALL = {"context_length": 8, "window_rows": 64, "layer": 1}
MACHINE = recommended(MachineSettings, batch_tokens=32)


def write_text(folder, n_docs=40):
    """Documents of 0 to 15 words."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, int(length))) for length in rng.integers(0, 16, n_docs)]
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps({"text": text, "path": []}) + "\n" for text in texts))
    return path, texts


def build_in(folder, model=None, machine=MACHINE, **settings) -> ActivationStore:
    text_file, _ = write_text(folder)
    save_model(folder / "model", model)
    chosen = recommended(ActivationsSettings, **(SMALL | settings))
    build_store(folder / "a.zarr", text_file, folder / "model", chosen, machine, source="test", seed=3, device="cpu")
    return ActivationStore.open(folder / "a.zarr")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Make a store, or give the one that another test made with these settings; stores are not to be changed."""

    @functools.cache
    def make(model=gemma, **settings) -> ActivationStore:
        return build_in(tmp_path_factory.mktemp("store"), model(), **settings)

    return make


def tokens_of(store) -> dict[str, np.ndarray]:
    parts = [store.tokens(window) for window in store.windows]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def hidden_states(model, store, layer):
    """Row by row: the whole model on the tokens up to that row's position, Hugging Face's own hidden state."""
    tokens = tokens_of(store)
    for row in range(0, store.n_tokens, 3):
        mates = np.flatnonzero(tokens["seq_id"] == tokens["seq_id"][row])
        before = mates[tokens["pos"][mates] <= tokens["pos"][row]]
        ids = tokens["token_id"][before[np.argsort(tokens["pos"][before])]]
        ids = torch.tensor([[2, *ids.tolist()]])
        assert ids.shape[1] == tokens["pos"][row] + 1
        with torch.no_grad():
            yield row, model(ids, output_hidden_states=True).hidden_states[layer + 1][0, -1]


@pytest.mark.parametrize("make", [gemma, llama])
def test_every_row_is_the_hidden_state_at_its_token(make, build):
    store = build(make, dtype="float32")
    rows = store.rows(0, store.n_tokens)
    for row, state in hidden_states(make(), store, layer=1):
        torch.testing.assert_close(rows[row], state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arithmetic", ["float32", "medium", "autocast"])
def test_every_row_is_the_models_own_hidden_state_in_the_arithmetic_of_the_store(arithmetic, tmp_path):
    """Bit by bit for the same batch; row by row within what rounding leaves."""
    ids, model = torch.arange(2, 50).view(4, 12), gemma()
    with hooked_forward(model, {"x": (1, "resid_post")}, arithmetic) as forward, torch.inference_mode():
        got = forward(ids)["x"]
    with computing(arithmetic, "cpu"), torch.inference_mode():
        wanted = model(ids, output_hidden_states=True).hidden_states[2]
    assert torch.equal(got, wanted) and got.dtype == torch.float32
    assert torch.get_float32_matmul_precision() == "highest", "as it was"
    store = build_in(tmp_path, gemma(), machine=MACHINE.but(cache_arithmetic=arithmetic), dtype="float32")
    assert store.attributes["settings"]["arithmetic"] == arithmetic
    rows = store.rows(0, store.n_tokens)
    with computing(arithmetic, "cpu"):
        states = dict(hidden_states(gemma(), store, layer=1))
    rounding = 1e-4 if arithmetic == "float32" else 0.05
    for row, state in states.items():
        torch.testing.assert_close(rows[row], state, rtol=rounding, atol=rounding)
    exact = torch.stack([state for _, state in hidden_states(gemma(), store, layer=1)])
    moved = (rows[list(states)] - exact).abs().max() > 1e-4
    assert moved == {"float32": False, "autocast": True}.get(arithmetic, moved), "medium rounds on some processors only"


def test_the_arithmetic_is_chosen_by_what_the_processor_has(monkeypatch):
    amx, avx512 = {"amx_bf16": True, "avx512_bf16": True}, {"avx512_bf16": True}
    for has, chosen in ((amx, "medium"), (avx512, "autocast"), ({}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert arithmetic_for("auto", "cpu") == chosen
    assert (arithmetic_for("auto", "cuda"), arithmetic_for("float32", "cpu")) == ("medium", "float32")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_stored_dtype_is_exact(dtype, build):
    kind = getattr(torch, dtype)
    plain = build(dtype="float32")
    exact = plain.rows(0, plain.n_tokens)
    store = build(dtype=dtype)
    assert torch.equal(store.rows(0, store.n_tokens), exact.to(kind).float())
    assert store.array.dtype == {"bfloat16": np.uint16}.get(dtype, dtype)


def test_the_tokens_are_those_of_the_text_without_bos(build, tmp_path):
    store = build()
    _, texts = write_text(tmp_path)
    tokens = tokens_of(store)
    order = np.lexsort((tokens["pos"], tokens["seq_id"]))
    ids = word_tokenizer()(texts, add_special_tokens=False).input_ids
    assert tokens["token_id"][order].tolist() == [token for document in ids for token in document]
    assert tokens["doc_id"][order].tolist() == [doc for doc, document in enumerate(ids) for _ in document]
    assert tokens["pos"].min() == 1 and tokens["pos"].max() == 7  # BOS is at 0, a context holds 8
    assert not (order == np.arange(len(order))).all(), "rows must be permuted within a window"
    for window in store.windows:
        ranks = np.sort(np.argsort(order)[window.rows])
        assert ranks.tolist() == list(range(window.first_row, window.first_row + window.n_rows))


def test_bos_is_stored_when_asked_for(build):
    store = build(keep_special=True)
    tokens = tokens_of(store)
    assert ((tokens["pos"] == 0) == (tokens["token_id"] == 2)).all() and (tokens["pos"] == 0).any()


def test_packed_sequences_are_full_and_know_their_documents(build, tmp_path):
    store = build(packing="packed", keep_special=True)
    tokens = tokens_of(store)
    counts = np.bincount(tokens["seq_id"])
    assert (counts[:-1] == 8).all() and counts[-1] <= 8
    _, texts = write_text(tmp_path)
    words = np.bincount(tokens["doc_id"][tokens["token_id"] > 3], minlength=len(texts))
    assert words.tolist() == [len(text.split()) for text in texts]


def test_max_tokens_is_exact_and_takes_the_first_tokens(build):
    whole = tokens_of(build())
    part = tokens_of(build(max_tokens=70))
    key = np.stack([whole["seq_id"], whole["pos"]])
    first = sorted(key.T.tolist())[:70]
    assert sorted(np.stack([part["seq_id"], part["pos"]]).T.tolist()) == first


def test_mean_variance_and_norms_are_those_of_all_rows(build):
    store = build()
    rows = store.rows(0, store.n_tokens).double().numpy()
    assert len(store.windows) > 3
    np.testing.assert_allclose(store.mean_d, rows.mean(0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(store.var_d, rows.var(0), rtol=1e-10)
    norms = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(tokens_of(store)["norm"], norms, rtol=1e-6)
    assert store.mean_norm == pytest.approx(norms.mean(), rel=1e-6)


def test_merged_statistics_by_hand():
    """Rows 1, 3 | 8: mean 4, squared deviations 9 + 1 + 16."""
    mean, m2 = merge_statistics([2, 1], np.array([[2.0], [8.0]]), np.array([[2.0], [0.0]]))
    assert (mean.item(), m2.item()) == (pytest.approx(4), pytest.approx(26))


def test_several_hook_points_in_one_pass(build):
    names = ("blocks.0.hook_mlp_out", "blocks.2.hook_resid_pre", "blocks.0.hook_attn_out", "blocks.0.hook_resid_pre")
    main = build(dtype="float32", also=names)
    also = {name: ActivationStore.open(f"{main.path}/also/{name}") for name in names}
    n = main.n_tokens
    assert torch.equal(also["blocks.2.hook_resid_pre"].rows(0, n), main.rows(0, n))  # resid_post of layer 1
    assert also["blocks.0.hook_mlp_out"].attributes["site"] == "mlp_out"
    total = sum(also[name].rows(0, n) for name in (names[0], names[2], names[3]))
    first = build(dtype="float32", layer=0)
    torch.testing.assert_close(total, first.rows(0, n))


def test_any_row_range_across_chunks_and_windows(build):
    store = build()
    rows = store.rows(0, store.n_tokens)
    for start, stop in [(0, 1), (1, 3), (63, 65), (5, 200), (store.n_tokens - 1, store.n_tokens), (7, 7)]:
        assert torch.equal(store.rows(start, stop), rows[start:stop])


@pytest.mark.parametrize("compression, bits", [("zstd", None), ("zstd", 3), ("none", 3)])
def test_compression_is_exact_and_bitround_is_within_its_step(compression, bits, build):
    plain = build()
    exact = plain.rows(0, plain.n_tokens)
    store = build(compression=compression, mantissa_bits=bits)
    error = (store.rows(0, store.n_tokens) - exact).abs()
    assert (error <= exact.abs() * 2 ** -(1 + (bits or 99))).all()
    assert (error.max() > 0) == (bits is not None)


def test_the_attributes_say_where_the_store_comes_from(build):
    attributes = build().attributes
    assert attributes["hook_point"] == "blocks.1.hook_resid_post" and attributes["source"] == "test"
    assert attributes["model"]["weights_sha256"] and attributes["versions"]["torch"]
    assert attributes["settings"]["context_length"] == 8 and attributes["seed"] == 3


@pytest.mark.parametrize("array, chunk", [("activations", "3/0"), ("token_id", "1"), ("norm", "0")])
@pytest.mark.parametrize("damage", ["flip", "truncate", "lose"])
def test_a_damaged_chunk_is_named(array, chunk, damage, build, tmp_path):
    shutil.copytree(build().path, tmp_path / "a.zarr")
    store = ActivationStore.open(tmp_path / "a.zarr")
    path = tmp_path / "a.zarr" / array / "c" / chunk
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    {"flip": lambda: path.write_bytes(content), "truncate": lambda: path.write_bytes(content[:7]), "lose": path.unlink}[
        damage
    ]()
    with pytest.raises(PipelineError, match=rf"{array}/c/{chunk} \(window \d\) is damaged .*dvc repro -f"):
        store.verify()


def test_activations_beyond_the_stored_dtype_are_refused(tmp_path):
    model = gemma()
    model.model.embed_tokens.weight.data *= 1e7
    with pytest.raises(PipelineError, match=r"activations beyond float16; set `activations\.dtype` to bfloat16"):
        build_in(tmp_path, model, dtype="float16")


def test_missing_text_empty_text_and_a_layer_too_many(tmp_path):
    save_model(tmp_path / "model")
    arguments = {"source": "", "seed": 0, "device": "cpu"}
    text_file, settings = tmp_path / "train.jsonl", recommended(ActivationsSettings, **SMALL)
    with pytest.raises(PipelineError, match=r"train.jsonl is missing; run `uv run dvc repro prepare`"):
        build_store(tmp_path / "a.zarr", text_file, tmp_path / "model", settings, MACHINE, **arguments)
    for empty in ("", '{"text": ""}\n'):
        text_file.write_text(empty)
        with pytest.raises(PipelineError, match="no token that could be stored"):
            build_store(tmp_path / "a.zarr", text_file, tmp_path / "model", settings, MACHINE, **arguments)
    with pytest.raises(PipelineError, match="layer 4 is beyond the model"):
        build_in(tmp_path, layer=4)
    assert not (tmp_path / "a.zarr").exists()


def test_a_disk_that_cannot_hold_the_store_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(PipelineError, match=r"can't hold .* GB free; lower activations.max_tokens"):
        build_in(tmp_path)


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"window_rows": 100}, {"also": ("resid",)}, {"mantissa_bits": 9}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            recommended(ActivationsSettings, **(SMALL | wrong))
    settings = recommended(ActivationsSettings, also=("blocks.12.hook_mlp_out",))
    assert list(hook_points(settings).values())[1] == (12, "mlp_out")
