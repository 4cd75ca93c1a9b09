"""Edits: what a clamp does to the stream by hand-worked numbers, what a guard sees, folders that are data only."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from pipeline.core.errors import PipelineError
from pipeline.evaluation.edits import open_edit
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import save_dictionary
from pipeline.unlearning.apply import applied, check_fits, fires, rewrite, swapped, unlearned
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.edit import Edit, Guard, clamped, load_edit, no_edit, save_edit
from pipeline.unlearning.origin import origin
from tests.support.tiny_lm import gemma, word_tokenizer

EYE = Dictionary(torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3))
LEVEL, TARGET, LAYER = "topic", ("d", "t"), 1


def clamp(latents: list[int], values: list[float], guard: Guard | None = None) -> Edit:
    kept = torch.tensor(values)
    return Edit("subtree", LEVEL, TARGET, LAYER, torch.tensor(latents), kept, torch.zeros_like(kept), guard=guard)


def test_a_firing_latent_goes_to_its_value_and_all_else_stays():
    x = torch.tensor([[[2.0, 3.0, -1.0], [0.0, 3.0, -1.0]]])
    out = rewrite(clamp([0], [-5.0]), EYE, x, torch.tensor([[True, True]]))
    assert out.tolist() == [[[-5.0, 3.0, -1.0], [0.0, 3.0, -1.0]]], "silent at the second token, so untouched there"


def test_a_gate_scales_a_firing_latent():
    gate = clamp([0, 1], [0.0, 0.5])._replace(factors=torch.tensor([-3.0, 0.25]))
    x = torch.tensor([[[2.0, 4.0, -1.0], [0.0, -4.0, 1.0]]])
    out = rewrite(gate, EYE, x, torch.tensor([[True, True]]))
    assert out.tolist() == [[[-6.0, 1.5, -1.0], [0.0, -4.0, 1.0]]], "factor z + value where z > 0, else untouched"


def test_a_shift_is_added_where_the_guard_fires_and_nowhere_else():
    guard = Guard(torch.tensor([1.0, 0.0, 0.0]), bias=-3.0)
    edit = clamp([], [], guard)._replace(latents=torch.empty(0, dtype=torch.long), shift=torch.tensor([0.0, 1.0, -9.0]))
    x = torch.tensor([[[9.0, 0.0, 0.0], [1.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 5.0]]])
    editable = torch.tensor([[False, True, True, True]])
    changed = rewrite(edit, EYE, x, editable) - x
    assert changed.tolist() == [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, -9.0], [0.0, 1.0, -9.0]]]
    unguarded = rewrite(edit._replace(guard=None), EYE, x, editable) - x
    assert unguarded[0, :, 2].tolist() == [0.0, -9.0, -9.0, -9.0], "without a guard: every editable token"


def test_the_saes_error_is_kept():
    """The identity dictionary cannot express the negative third coordinate; it survives the edit."""
    x = torch.tensor([[[2.0, 0.0, -7.0]]])
    assert rewrite(clamp([0], [0.0]), EYE, x, torch.tensor([[True]])).tolist() == [[[0.0, 0.0, -7.0]]]


def test_special_tokens_are_left_alone():
    x = torch.tensor([[[2.0, 3.0, 1.0], [2.0, 3.0, 1.0]]])
    out = rewrite(clamp([0], [-1.0]), EYE, x, torch.tensor([[False, True]]))
    assert out[0, :, 0].tolist() == [2.0, -1.0]


def test_the_clamp_is_a_multiple_of_each_latents_own_scale():
    edit = clamped("level_cut", LEVEL, TARGET, LAYER, [[2], [0, 1]], torch.tensor([1.0, 10.0, 100.0]), 2.0, {"cut": 1})
    assert edit.latents.tolist() == [2, 0, 1]
    assert edit.values.tolist() == [-200.0, -2.0, -20.0]
    assert edit.groups == ((2,), (0, 1))
    assert edit.settings == {"cut": 1, "multiplier": 2.0}


def test_a_guard_fires_from_the_position_where_its_evidence_has_come():
    identity = Dictionary(torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3))
    codes = torch.tensor([[[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    guard = Guard(torch.tensor([1.0, 0.0, 0.0]), bias=-3.0)
    assert fires(guard, identity, codes, torch.ones(1, 3, dtype=torch.bool)).tolist() == [[False, True, True]]
    assert fires(guard, identity, codes, torch.tensor([[True, False, True]])).tolist() == [[False] * 3], (
        "special tokens don't count"
    )


def test_an_edit_survives_its_folder(tmp_path: Path):
    edit = clamp([1, 2], [-1.0, 0.0], Guard(torch.tensor([0.5, 0.0, 1.0]), -0.25))
    edit = edit._replace(groups=((1,), (2,)), weights={"a.b": torch.ones(2, 2)}, settings={"cut": 3})
    edit = edit._replace(factors=torch.tensor([0.5, -3.0]), shift=torch.tensor([1.0, 2.0, 3.0]))
    save_edit(tmp_path, edit)
    back = load_edit(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"edit.json", "edit.safetensors"}
    for name, was, now in zip(Edit._fields, edit, back, strict=True):
        if name == "guard":
            assert torch.equal(was.weight_s, now.weight_s) and was.bias == now.bias
        elif name == "weights":
            assert was.keys() == now.keys() and torch.equal(was["a.b"], now["a.b"])
        else:
            assert torch.equal(was, now) if isinstance(was, torch.Tensor) else was == now


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "edit.safetensors").write_bytes(b"\x80\x04 not a tensor file"),  # a pickle, say
        lambda folder: (folder / "edit.safetensors").unlink(),
        lambda folder: (folder / "edit.json").write_text('{"method": "subtree"}'),  # keys are missing
        lambda folder: (folder / "edit.json").write_text("not json"),
        lambda folder: save_file({"latents": torch.zeros(1)}, folder / "edit.safetensors"),  # values are missing
        lambda folder: (folder / "edit.json").write_text("[]"),
    ],
)
def test_a_damaged_folder_is_one_sentence(tmp_path: Path, spoil):
    save_edit(tmp_path, clamp([1], [0.0]))
    spoil(tmp_path)
    with pytest.raises(PipelineError, match="not a readable edit"):
        load_edit(tmp_path)


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        ({"values": torch.tensor([1.0])}, r"2 latents have values of shape \(1,\)"),
        ({"factors": torch.zeros(2, 1)}, r"2 latents have factors of shape \(2, 1\)"),
        ({"latents": torch.tensor([1, 1])}, "latents hold a number twice"),
        ({"latents": torch.tensor([1.0, 2.0])}, "latents are torch.float32"),
        ({"values": torch.tensor([float("nan"), 0.0])}, "values holds something that is not a finite real number"),
        ({"factors": torch.tensor([float("inf"), 0.0])}, "factors holds something that is not a finite real number"),
        ({"values": torch.tensor([1, 2])}, "values holds something that is not a finite real number"),  # whole numbers
        ({"shift": torch.tensor([float("nan")])}, "shift holds something"),
        ({"guard": Guard(torch.tensor([float("nan")]), 0.0)}, "guard_weight holds something"),
        ({"weights": {"a.b": torch.tensor([float("inf")])}}, "a.b holds something"),
    ],
)
def test_an_edit_that_contradicts_itself_is_not_written_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: dict, sentence: str
):
    bad = clamp([1, 2], [-1.0, 0.0])._replace(**spoilt)
    with pytest.raises(ValueError, match=sentence):
        save_edit(tmp_path / "ours", bad)
    assert not (tmp_path / "ours").exists()
    with monkeypatch.context() as another_program:
        another_program.setattr("pipeline.unlearning.edit._check_sound", lambda edit: None)
        save_edit(tmp_path, bad)
    with pytest.raises(PipelineError, match=f"not a readable edit .*{sentence}"):
        load_edit(tmp_path)


@pytest.mark.parametrize(
    ("was", "now", "sentence"),
    [
        ('"version": 3', '"version": 1', "it has version 1, this program reads versions 2 and 3"),
        (
            '"latents",',
            '"latents", "weights.lost",',
            "lacks weights.lost, by the list in edit.json; copy",
        ),
        ('"latents",', "", "has a surplus latents, by the list"),
        ('"sha256": "', '"sha256": "0', "is not the file that was written with edit.json"),
        ('"guard_bias": 0.5', '"guard_bias": NaN', "guard_bias holds something"),
        ('"guard_bias": 0.5', '"guard_bias": null', "of guard_bias and guard_weight one is there"),
        ('"layer": 1', '"layer": null', "TypeError"),
    ],
)
def test_a_spoilt_description_is_one_sentence(tmp_path: Path, was: str, now: str, sentence: str):
    save_edit(tmp_path, clamp([1], [0.0], Guard(torch.zeros(3), 0.5)))
    file = tmp_path / "edit.json"
    file.write_text(file.read_text().replace(was, now))
    with pytest.raises(PipelineError, match=f"not a readable edit .*{sentence}"):
        load_edit(tmp_path)


def test_an_edit_of_version_2_is_still_read(tmp_path: Path):
    edit = clamp([1], [0.0], Guard(torch.zeros(3), 0.5))
    save_edit(tmp_path, edit)
    description = json.loads((tmp_path / "edit.json").read_text())
    for key in ("origin", "tensors", "sha256"):
        del description[key]
    (tmp_path / "edit.json").write_text(json.dumps(description | {"version": 2}))
    old = load_edit(tmp_path)
    assert old.origin is None and torch.equal(old.guard.weight_s, edit.guard.weight_s)


def test_an_edit_is_refused_on_another_model_and_with_another_dictionary(tmp_path: Path):
    model, tokenizer = gemma(), word_tokenizer()
    eye = Dictionary(torch.eye(16), torch.zeros(16), torch.eye(16), torch.zeros(16))
    edit = clamp([1], [0.0])._replace(origin=origin(model, eye, tokenizer))
    save_edit(tmp_path, edit)
    assert load_edit(tmp_path).origin == edit.origin and edit.origin.bos == 2
    check_fits(edit, eye, model)
    check_fits(edit, eye, copy.deepcopy(model).to(torch.bfloat16))  # the same weights, rounded
    other = copy.deepcopy(model)
    other.model.layers[3].mlp.up_proj.weight.data[5, 7] += 0.5
    with pytest.raises(PipelineError, match="`subtree` was made for another model"):
        check_fits(edit, eye, other)
    with (
        pytest.raises(PipelineError, match="`subtree` was made for another model"),
        swapped(model, {"model.norm.weight": torch.zeros(16)}),
    ):
        check_fits(edit, eye, model)
    flipped = Dictionary(torch.eye(16).flip(0), torch.zeros(16), torch.eye(16), torch.zeros(16))
    with pytest.raises(PipelineError, match="`subtree` was made with another dictionary"):
        check_fits(edit, flipped, model)
    subject = SimpleNamespace(model=model, dictionary=eye, layer=LAYER)
    assert open_edit(tmp_path, subject, TARGET).origin == edit.origin
    with pytest.raises(PipelineError, match="was made for another model"):
        open_edit(tmp_path, SimpleNamespace(model=other, dictionary=eye, layer=LAYER), TARGET)
    with pytest.raises(PipelineError, match=r"forgets d/t at layer 1, this run d/u at layer 1; delete"):
        open_edit(tmp_path, subject, ("d", "u"))  # copied from a run with another target
    weights = no_edit(LEVEL, TARGET, LAYER)._replace(weights={"model.norm.weight": torch.zeros(16)})
    check_fits(weights._replace(origin=edit.origin), flipped, model)  # acts through none


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (clamp([3], [0.0]), "names latents that a dictionary of 3 does not have"),
        (clamp([0], [0.0])._replace(groups=((0, 3),)), "names latents that a dictionary of 3 does not have"),
        (clamp([-1], [0.0]), "names latents that a dictionary of 3 does not have"),
        (clamp([], [])._replace(shift=torch.zeros(4)), r"the shift of `subtree` has shape \(4,\), the residual \(3,\)"),
        (clamp([0], [0.0], Guard(torch.zeros(5), 0.0)), "has 5 weights, the dictionary 3"),
        (clamp([0], [0.0]), "a dictionary of a stream 3 wide, but the model's is 16 wide"),
        (clamp([], [])._replace(weights={"no.such": torch.zeros(1)}), "replaces `no.such`"),
        (
            clamp([], [])._replace(weights={"model.norm.weight": torch.zeros(3)}),
            r"`model.norm.weight` \(3,\), which is \(16,\)",
        ),
    ],
)
def test_an_edit_of_another_dictionary_or_model_is_refused(edit, sentence):
    edit = edit._replace(latents=edit.latents.long())
    with pytest.raises(PipelineError, match=sentence):
        check_fits(edit, EYE, gemma())


def test_swapped_weights_are_back_after_an_error():
    model = gemma()
    before = model.model.norm.weight.clone()
    with pytest.raises(RuntimeError), swapped(model, {"model.norm.weight": torch.zeros(16)}):
        assert model.model.norm.weight.abs().sum() == 0
        raise RuntimeError
    assert torch.equal(model.model.norm.weight, before)


@pytest.fixture(scope="module")
def small_bench():
    torch.manual_seed(3)
    model, tokenizer = gemma(), word_tokenizer()
    dictionary = Dictionary(torch.randn(16, 24), torch.zeros(24), torch.randn(24, 16), torch.zeros(16))
    probes = [
        {
            "id": str(i),
            "prompt": f"w{i} w{i + 1} w9",
            "answer": "w3",
            "options": ["w3", "w4", "w5", "w6"],
            "path": ["d"],
        }
        for i in range(5)
    ]
    texts = [{"text": f"w{i} w7 w8 w{2 * i} w1", "path": []} for i in range(4)]
    return Bench(model, tokenizer, dictionary, LAYER, probes, texts), dictionary


def test_the_bench_without_an_edit_answers_as_the_model_does(small_bench):
    bench, _ = small_bench
    outcome = bench.measure(no_edit(LEVEL, TARGET, LAYER))
    ids = torch.tensor([bench.tokenizer(bench.texts[2]["text"])["input_ids"]])
    loss = bench.model(input_ids=ids, labels=ids).loss * (ids.shape[1] - 1)
    assert outcome.loss_x[2].item() == pytest.approx(loss.item(), rel=1e-5)


def test_the_bench_and_a_live_model_agree_under_an_edit(small_bench, tmp_path: Path):
    """The bench re-runs upper layers from a stored residual; ``unlearned`` hooks the whole model."""
    bench, dictionary = small_bench
    scale = torch.ones(24)
    edit = clamped("subtree", LEVEL, TARGET, LAYER, [[0, 5, 7, 11]], scale, 3.0, {})
    gate = edit._replace(factors=torch.tensor([0.5, -3.0, 0.0, 1.0]), values=torch.zeros(4))
    guarded = edit._replace(guard=Guard(torch.randn(24, generator=torch.Generator().manual_seed(0)), -0.5))
    weights = {"model.layers.3.mlp.up_proj.weight": torch.zeros(32, 16)}
    save_dictionary(tmp_path / "sae", dictionary, {})
    plain = bench.measure(no_edit(LEVEL, TARGET, LAYER)).loss_x
    for name, one in (
        ("clamp", edit),
        ("gate", gate),
        ("guard", guarded),
        ("shift", no_edit(LEVEL, TARGET, LAYER)._replace(guard=guarded.guard, shift=torch.ones(16))),
        ("weights", no_edit(LEVEL, TARGET, LAYER)._replace(weights=weights)),
    ):
        save_edit(tmp_path / name, one)
        measured = bench.measure(one).loss_x
        assert not torch.allclose(measured, plain), name
        with unlearned(bench.model, tmp_path / name, tmp_path / "sae"):
            for x, text in enumerate(bench.texts):
                ids = torch.tensor([bench.tokenizer(text["text"])["input_ids"]])
                loss = bench.model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
                assert measured[x].item() == pytest.approx(loss, rel=1e-4), name


def test_divergence_is_that_of_the_next_tokens_distributions(small_bench):
    bench, dictionary = small_bench
    edit = clamped("subtree", LEVEL, TARGET, LAYER, [[0, 5, 7, 11]], torch.ones(24), 3.0, {})
    assert bench.compare(no_edit(LEVEL, TARGET, LAYER))[1].abs().max() < 1e-6
    outcome, kl_x = bench.compare(edit)
    for one, other in zip(outcome, bench.measure(edit), strict=True):
        assert torch.allclose(one, other)
    ids = torch.tensor([bench.tokenizer(bench.texts[1]["text"])["input_ids"]])
    before = bench.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    with applied(bench.model, edit, dictionary):
        after = bench.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    by_hand = (before.exp() * (before - after)).sum()
    assert kl_x[1].item() == pytest.approx(by_hand.item(), rel=1e-4) and by_hand > 0


def test_generation_with_a_cache_sees_the_same_edit_as_without(small_bench, tmp_path: Path):
    bench, dictionary = small_bench
    edit = clamped("guard_flat", LEVEL, TARGET, LAYER, [list(range(24))], torch.ones(24), 4.0, {})
    edit = edit._replace(guard=Guard(torch.full((24,), 0.05), -1.0))
    save_dictionary(tmp_path / "sae", dictionary, {})
    save_edit(tmp_path / "edit", edit)
    ids = torch.tensor([bench.tokenizer("w1 w2 w3")["input_ids"]])
    with unlearned(bench.model, tmp_path / "edit", tmp_path / "sae") as model:
        said = [model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*said)


def test_edit_json_says_what_it_does(tmp_path: Path):
    save_edit(tmp_path, clamp([1], [0.0])._replace(groups=((1,),)))
    description = json.loads((tmp_path / "edit.json").read_text())
    assert description["method"] == "subtree"
    assert description["groups"] == [[1]]
