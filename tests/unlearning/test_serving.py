"""An edited model says the same however a text is fed: at once, in chunks, token by token, with beams, in two turns."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, PreTrainedModel, StaticCache

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import capture
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import save_dictionary
from pipeline.unlearning.apply import applied, unlearned
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.edit import Edit, Guard, Origin, clamped, no_edit, save_edit
from pipeline.unlearning.origin import hash_weights, origin
from tests.support.tiny_lm import gemma, gemma3, gpt2, llama, loud, neox, qwen, word_tokenizer

LAYER, BOS, PAD = 1, 2, 0
MODELS = {
    "gemma": lambda: loud(gemma()),
    "gemma3": gemma3,
    "llama": lambda: loud(llama()),
    "qwen": qwen,
    "neox": lambda: loud(neox()),
    "gpt2": gpt2,
}
TEXTS = torch.tensor([[2, 10, 11, 12, 13, 14], [2, 41, 22, 53, 24, 35]])


def dictionary_of() -> Dictionary:
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return Dictionary(draw(16, 24), torch.zeros(24), draw(24, 16), torch.zeros(16))


DICTIONARY = dictionary_of()


def edits_for(model: PreTrainedModel) -> dict[str, Edit]:
    """Of every kind with a hook; the guard fires from the middle of the texts on, in some and not in others."""
    clamp = clamped("clamp", "topic", ("d",), LAYER, [[0, 5, 7, 11]], torch.ones(24), 3.0, {})
    clamp = clamp._replace(origin=Origin(hash_weights(model), hash_weights(DICTIONARY), BOS))
    gate = clamp._replace(method="gate", factors=torch.tensor([0.5, -3.0, 0.0, 1.0]), values=torch.zeros(4))
    nothing = no_edit("topic", ("d",), LAYER)._replace(origin=clamp.origin)
    with torch.no_grad(), capture(model, {"x": (LAYER, "resid_post")}) as acts:
        model(TEXTS)
    scores_bt = DICTIONARY.encode(acts["x"])[:, 1:].cummax(1).values.sum(-1)
    guard = Guard(torch.ones(24), -float(scores_bt[:, 2:4].mean()))  # about half of the positions there lie above
    guarded = clamp._replace(method="guard_clamp", guard=guard)
    vector = nothing._replace(method="guard_vector", guard=guard, shift=torch.linspace(-3, 3, 16))
    return {"clamp": clamp, "gate": gate, "guard_clamp": guarded, "guard_vector": vector}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return MODELS[request.param]().requires_grad_(False)


@pytest.fixture(params=["gate", "guard_clamp", "guard_vector"])
def edited(request: pytest.FixtureRequest, model: PreTrainedModel):
    with torch.no_grad(), applied(model, edits_for(model)[request.param], DICTIONARY):
        yield model


def whole(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    return model(ids, attention_mask=mask, use_cache=False).logits


def near(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_guard_matters_at_some_positions_only(model):
    """Else the other tests would show nothing."""
    with torch.no_grad():
        plain = whole(model, TEXTS)
        for name, edit in edits_for(model).items():
            with applied(model, edit, DICTIONARY):
                changed = ((whole(model, TEXTS) - plain).abs() > 1e-4).any(-1)
            assert changed.any(), name
            assert not changed[:, 0].any(), f"{name}: <bos> is left alone"
            if edit.guard:
                assert not changed[:, 1:].all(), name


def test_chunks_over_a_cache(edited):
    expected = whole(edited, TEXTS)
    for pieces in ([3, 3], [1] * 6, [5, 1], [1, 5], [2, 1, 3]):
        cache, logits = None, []
        for piece in TEXTS.split(pieces, dim=1):
            out = edited(piece, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            logits.append(out.logits)
        near(torch.cat(logits, dim=1), expected)


def test_a_given_cache_a_tuple_and_arguments_by_position(edited):
    expected, cache = whole(edited, TEXTS), DynamicCache(config=edited.config)
    parts = [edited(piece, past_key_values=cache).logits for piece in TEXTS.split(2, dim=1)]
    near(torch.cat(parts, dim=1), expected)
    first = edited(TEXTS[:, :4], return_dict=False, use_cache=True)
    near(edited(TEXTS[:, 4:], past_key_values=first[1], use_cache=True).logits, expected[:, 4:])


def test_a_text_after_another_text_inherits_nothing(edited):
    one = TEXTS[:, 3:4]
    expected = whole(edited, one)
    edited(TEXTS, use_cache=True)
    near(edited(one, use_cache=True).logits, expected)
    near(whole(edited, one[:1]), expected[:1])  # a batch of another size


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(edited, side):
    short, n = TEXTS[1:, :4], 4
    padded = torch.full((1, 6), PAD)
    at = slice(2, 6) if side == "left" else slice(0, 4)
    padded[:, at] = short
    ids, mask = torch.cat([TEXTS[:1], padded]), torch.ones(2, 6, dtype=torch.long)
    mask[1] = 0
    mask[1, at] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = edited(ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    near(out[1:, at][:, :n], whole(edited, short))
    near(out[:1], whole(edited, TEXTS[:1]))
    if side == "left":
        cache = DynamicCache(config=edited.config)
        parts = [
            edited(
                ids[:, i : i + 3],
                attention_mask=mask[:, : i + 3],
                position_ids=positions[:, i : i + 3],
                past_key_values=cache,
            ).logits
            for i in (0, 3)
        ]
        near(torch.cat(parts, 1)[mask.bool()], out[mask.bool()])


def test_embeddings_in_place_of_ids(edited):
    embeds = edited.get_input_embeddings()(TEXTS)
    near(edited(inputs_embeds=embeds, use_cache=False).logits, whole(edited, TEXTS))
    first = edited(inputs_embeds=embeds[:, :3], use_cache=True)
    near(edited(TEXTS[:, 3:], past_key_values=first.past_key_values).logits, whole(edited, TEXTS)[:, 3:])


GENERATION = {
    "greedy": ("gate", {}),
    "sampling": ("guard_vector", {"do_sample": True, "top_k": 8}),
    "several": ("guard_clamp", {"do_sample": True, "num_return_sequences": 3}),
    "beams": ("guard_clamp", {"num_beams": 4, "num_return_sequences": 3}),
    "beam_sampling": ("guard_vector", {"num_beams": 3, "do_sample": True}),
    "chunked": ("guard_clamp", {"prefill_chunk_size": 2}),
}


@pytest.mark.parametrize("kind", GENERATION)
def test_generation_with_a_cache_is_that_without(model, kind):
    name, wanted = GENERATION[kind]
    ids = torch.cat([TEXTS[:, :5], torch.tensor([[0, 0, 2, 17, 28]])])
    mask = (torch.arange(5) >= torch.tensor([0, 0, 2])[:, None]).long()
    said = []
    with applied(model, edits_for(model)[name], DICTIONARY):
        for cached in (True, False):
            options = {key: value for key, value in wanted.items() if cached or key != "prefill_chunk_size"}
            torch.manual_seed(0)
            options |= {"max_new_tokens": 8, "use_cache": cached, "pad_token_id": PAD, "eos_token_id": 1}
            said.append(model.generate(ids, attention_mask=mask, **options))
    assert torch.equal(*said)


def test_a_static_cache(edited):
    ids, mask = TEXTS[:, :4], torch.ones(2, 4, dtype=torch.long)
    options = {"max_new_tokens": 6, "pad_token_id": PAD, "attention_mask": mask, "disable_compile": True}
    said = edited.generate(ids, cache_implementation="static", **options)
    assert torch.equal(said, edited.generate(ids, use_cache=False, **options))
    cache = StaticCache(config=edited.config, max_cache_len=16)
    parts = [edited(piece, past_key_values=cache).logits for piece in TEXTS.split(2, dim=1)]
    near(torch.cat(parts, dim=1), whole(edited, TEXTS))


def test_a_second_turn_on_a_kept_cache(edited):
    options = {"max_new_tokens": 3, "pad_token_id": PAD, "eos_token_id": 1, "return_dict_in_generate": True}
    first = edited.generate(TEXTS[:, :3], attention_mask=torch.ones(2, 3), **options)
    turn = torch.cat([first.sequences, torch.tensor([[33, 4], [5, 50]])], dim=1)
    mask = torch.ones_like(turn)
    second = edited.generate(turn, attention_mask=mask, past_key_values=first.past_key_values, **options)
    again = edited.generate(turn, attention_mask=mask, **options | {"use_cache": False})
    assert torch.equal(second.sequences, again.sequences)


def test_a_cache_is_copied_pickled_cropped_chosen_from_and_repeated(edited):
    expected = whole(edited, TEXTS)
    cache = edited(TEXTS[:, :3], use_cache=True).past_key_values
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        near(edited(TEXTS[:, 3:], past_key_values=other).logits, expected[:, 3:])
    ahead = copy.deepcopy(cache)
    edited(torch.tensor([[9], [8]]), past_key_values=ahead)
    if not any(ahead.is_sliding):  # which transformers crops only while it records the past, as the next test does
        ahead.crop(-1)
        near(edited(TEXTS[:, 3:], past_key_values=ahead).logits, expected[:, 3:])
    swapped = copy.deepcopy(cache)
    swapped.reorder_cache(torch.tensor([1, 0]))
    near(edited(TEXTS.flip(0)[:, 3:], past_key_values=swapped).logits, expected.flip(0)[:, 3:])
    second = copy.deepcopy(cache)
    second.batch_select_indices(torch.tensor([1]))
    near(edited(TEXTS[1:, 3:], past_key_values=second).logits, expected[1:, 3:])
    twice = copy.deepcopy(cache)
    twice.batch_repeat_interleave(2)
    doubled = TEXTS.repeat_interleave(2, 0)
    near(edited(doubled[:, 3:], past_key_values=twice).logits, expected.repeat_interleave(2, 0)[:, 3:])
    cache.reset()
    near(edited(TEXTS, past_key_values=cache).logits, expected)


def test_guesses_that_are_taken_back(edited):
    """Prompt lookup runs ahead and crops the cache."""
    ids = torch.tensor([[2, 10, 11, 12, 10, 11]])
    options = {"max_new_tokens": 8, "pad_token_id": PAD, "attention_mask": torch.ones_like(ids)}
    said = edited.generate(ids, prompt_lookup_num_tokens=3, **options)
    assert torch.equal(said, edited.generate(ids, use_cache=False, **options))


def test_what_was_read_without_the_edit_is_refused(model):
    edits = edits_for(model)
    with torch.no_grad():
        outside = model(TEXTS[:, :3], use_cache=True).past_key_values
        for edit in edits.values():
            with applied(model, edit, DICTIONARY):
                with pytest.raises(PipelineError, match="not read under this edit"):
                    model(TEXTS[:, 3:], past_key_values=copy.deepcopy(outside))
                with pytest.raises(PipelineError, match="outside a call of the whole model"):
                    model.get_decoder()(TEXTS)
                cache = model(TEXTS[:, :3], use_cache=True).past_key_values
                with pytest.raises(PipelineError, match="holds 2 texts and 1 were given"):
                    model(TEXTS[:1, 3:], past_key_values=cache)
                with pytest.raises(PipelineError, match=r"mask has shape \(2, 3\).* cover the 3 tokens"):
                    model(TEXTS[:, 3:], past_key_values=cache, attention_mask=torch.ones(2, 3))
        weights = no_edit("topic", ("d",), LAYER)._replace(weights={"lm_head.weight": torch.ones(64, 16)})
        if "lm_head.weight" in dict(model.named_parameters()):
            with applied(model, weights, DICTIONARY), pytest.raises(PipelineError, match="not read under this edit"):
                model(TEXTS[:, 3:], past_key_values=copy.deepcopy(outside))


def test_a_model_that_keeps_its_state_in_itself_is_refused():
    """As recurrent Gemma does, and RWKV."""
    model = qwen().requires_grad_(False)
    edit = edits_for(model)["guard_clamp"]
    forget = model.register_forward_hook(lambda module, args, out: type(out)(logits=out.logits), prepend=True)
    with torch.no_grad(), applied(model, edit, DICTIONARY):
        with pytest.raises(PipelineError, match="where an edit cannot follow it; call it with `use_cache=False`"):
            model(TEXTS, use_cache=True)
        whole(model, TEXTS)
    forget.remove()


def test_packed_texts_and_unknown_states_are_refused():
    model = qwen().requires_grad_(False)
    edits = edits_for(model)
    with torch.no_grad(), applied(model, edits["guard_clamp"], DICTIONARY):
        with pytest.raises(PipelineError, match="packed into one row"):
            model(TEXTS, cu_seq_lens_q=torch.tensor([0, 6, 12]))
        with pytest.raises(PipelineError, match="in `state`; call it with `use_cache=False`"):
            model(TEXTS, state=[torch.zeros(1)])
        with pytest.raises(PipelineError, match="in a list"):
            model(TEXTS, past_key_values=[torch.zeros(1)])
        with pytest.raises(PipelineError, match="needs `input_ids` or `inputs_embeds`"):
            model(attention_mask=torch.ones(2, 6))


@pytest.mark.parametrize("says", [None, 7, BOS])
def test_the_bench_and_a_live_model_have_one_bos(tmp_path: Path, says: int | None):
    """The tokenizer's, which the edit has kept, whatever the model's configuration says."""
    model, tokenizer = MODELS["gemma"]().requires_grad_(False), word_tokenizer()
    model.config.bos_token_id = says
    probe = {"prompt": "w1 w2", "answer": "w3", "options": ["w3", "w4", "w5", "w6"], "path": ["d"]}
    texts = [{"text": f"w{i} w7 w8 w{2 * i} w1", "path": []} for i in range(4)]
    bench = Bench(model, tokenizer, DICTIONARY, LAYER, [probe], texts)
    edit = edits_for(model)["clamp"]
    edit = edit._replace(values=edit.values * 10, origin=origin(model, DICTIONARY, tokenizer))
    save_edit(tmp_path / "edit", edit)
    save_dictionary(tmp_path / "sae", DICTIONARY, {})
    with torch.no_grad(), unlearned(model, tmp_path / "edit", tmp_path / "sae"):
        ids = [torch.tensor([tokenizer(text["text"])["input_ids"]]) for text in texts]
        live = [model(one, labels=one).loss.item() * (one.shape[1] - 1) for one in ids]
    assert bench.measure(edit).loss_x.tolist() == pytest.approx(live, rel=1e-4)
