"""Which architectures can be read and edited? Every decoder-only one of the installed transformers, built tiny.

    uv run python -m benchmarks.architectures [NAME ...]

Each is built with random weights that are large enough for every part to be felt. What the project's self-check lets
pass is then verified by means of its own: `right`. What it refuses stands with its sentence. `WRONG` must not appear.
Without names the table is written, to benchmarks/architectures.json and docs/architectures.md (CPU, some minutes).
"""

import functools
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, __version__
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import capture, decoder_layers, module_at, rewriting, upper_layers
from pipeline.language_model.loading import load_model
from pipeline.language_model.structure import check_points, check_stream, check_upper_layers, linear_maps, output_map
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.apply import applied, rewrite, swapped
from pipeline.unlearning.edit import Edit, Guard, clamped
from pipeline.unlearning.export import check_opens
from pipeline.unlearning.origin import hash_weights

RESULTS, PAGE = Path("benchmarks/architectures.json"), Path("docs/architectures.md")
LAYER, WIDTH, VOCABULARY = 1, 32, 160
TEXTS = torch.tensor([[7, 20, 31, 42, 53, 64], [9, 71, 82, 93, 104, 115]])
RIGHT, WRONG = "right", "WRONG"
WITHOUT_CACHE = "right without a cache; over its cache the unedited model itself says something else"

# Sizes by the names that configurations use for them; those that an architecture has are set.
SIZES: dict[str, Any] = (
    dict.fromkeys(("hidden_size", "d_model", "n_embd", "embed_dim", "dim", "hidden_dim", "word_embed_proj_dim"), WIDTH)
    | dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 4)
    | dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4)
    | dict.fromkeys(("num_key_value_heads", "num_kv_heads", "n_kv_heads", "swa_num_key_value_heads"), 2)
    | dict.fromkeys(("head_dim", "d_kv", "global_head_dim", "kv_channels", "swa_head_dim", "attention_head_dim"), 8)
    | dict.fromkeys(
        ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "d_ff", "dim_ff"), 64
    )
    | dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 16)
    | dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"), 4)
    | dict.fromkeys(
        ("num_experts_per_tok", "moe_topk", "moe_top_k", "top_k_experts", "num_experts_per_token", "moe_k"), 2
    )
    | dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "num_shared_experts", "first_k_dense_replace"), 1)
    | dict.fromkeys(("q_lora_rank", "kv_lora_rank", "vocab_size_per_layer_input_rank"), 16)
    | dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8)
    | dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY)
    | dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx"), 64)
    | dict.fromkeys(("sliding_window", "attention_window_size", "window_size"), 8)
    | dict.fromkeys(("pad_token_id",), 0)
    | dict.fromkeys(("bos_token_id",), 1)
    | dict.fromkeys(("eos_token_id",), 2)
    | dict.fromkeys(
        ("linear_num_key_heads", "linear_num_value_heads", "mamba_n_groups", "n_groups", "num_kv_shared_layers"), 2
    )
    | dict.fromkeys(
        ("linear_key_head_dim", "linear_value_head_dim", "mamba_d_state", "state_size", "ssm_state_size"), 8
    )
    | {"mamba_expand": 2, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_num_heads": 8, "mamba_head_dim": 8}
    | {"rotary_dim": 4, "lru_width": WIDTH, "hidden_size_per_layer_input": 8, "num_nextn_predict_layers": 0}
    | {
        "residual_multiplier": 0.3,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
        "scale_depth": 0.7,
        "scale_emb": 2,
    }
    | {"attention_multiplier": 0.2, "router_aux_loss_coef": 0.0, "vision_feature_layer": -1}
    | {"image_size": 16, "patch_size": 8, "out_hidden_size": WIDTH, "num_channels": 3, "is_decoder": True}
)
# What an architecture wants besides, to be whole at that size.
OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "dots3_note_text": {"num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma4_text": {"num_kv_shared_layers": 0},
    "gemma4_unified_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "reformer": {"axial_pos_embds": False},
    "zaya": {"num_experts_per_tok": 1},
}


def tiny(kind: type[PreTrainedConfig], **above: Any) -> PreTrainedConfig:
    """The configuration of a kind with small sizes, and so of all that it is composed of."""
    parts = {name: tiny(part) for name, part in _parts(kind).items()}
    known = {*_names(kind), *kind.attribute_map}
    sizes = {name: size for name, size in SIZES.items() if name in known and name not in parts}
    if "kv_lora_rank" in known:  # latent attention: each head has keys of its own
        sizes["num_key_value_heads"] = 4
    return kind(**sizes | parts | OWN.get(kind.model_type, {}) | above)


def _parts(kind: type[PreTrainedConfig]) -> dict[str, type[PreTrainedConfig]]:
    """The configurations of text, images and sounds that a kind is composed of."""
    if not kind.sub_configs:
        return {}
    return {name: type(getattr(kind(), name)) for name in kind.sub_configs if getattr(kind(), name, None) is not None}


def _names(kind: type[PreTrainedConfig]) -> set[str]:
    """The keys of a configuration; of one without a valid default, those that it declares."""
    try:
        return set(kind().to_dict())
    except Exception:  # each architecture checks its values in its own way
        return {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}


def build(name: str) -> PreTrainedModel:
    """An architecture with random weights; ``ValueError`` where it is not decoder-only, or not to be built so small."""
    kind = CONFIG_MAPPING[name]
    config = tiny(kind)
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError("an encoder with a decoder")
    with torch.device("meta"):
        n_weights = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    if n_weights > 20_000_000:
        raise ValueError(f"{n_weights / 1e6:.0f} million weights at these sizes")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float().eval().requires_grad_(False)
    plain = {key: value.clone() for key, value in model.state_dict().items()}
    _make_loud(model)
    if not _logits(model, TEXTS).isfinite().all():
        model.load_state_dict(plain)
    _check_causal(model)
    return model


def _make_loud(model: PreTrainedModel) -> None:
    """Draw the weights anew, so that each part of a layer changes the stream by its own size."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        scale = weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.2
        weight.copy_(noise * scale if weight.ndim > 1 else weight + noise * scale)


def _logits(model: PreTrainedModel, ids_bt: torch.Tensor, **more: Any) -> torch.Tensor:
    return model(input_ids=ids_bt, use_cache=False, **more).logits.float()


def _check_causal(model: PreTrainedModel) -> None:
    changed = TEXTS.clone()
    changed[:, -1] += 1
    if not near(_logits(model, changed)[:, :-1], _logits(model, TEXTS)[:, :-1]):
        raise ValueError("it looks ahead: no decoder")


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for rounding."""
    return bool((one - other).norm() <= 2e-4 * other.norm() + 1e-6)


def judge(model: PreTrainedModel) -> dict[str, str]:
    """Column -> `right`, the sentence of its refusal, or `WRONG`."""
    found: dict[str, str] = {}
    for column, (ask, verify) in COLUMNS.items():
        try:
            ask(model)
        except PipelineError as error:
            found[column] = str(error).removeprefix(f"{type(model).__name__} is not built as this needs: ")
            continue
        try:
            found[column] = RIGHT if verify(model) else WRONG
        except PipelineError as error:
            found[column] = re.sub(rf"{tempfile.gettempdir()}/\w+", "FOLDER", str(error))
        except Exception as error:  # what passes the check must also run
            found[column] = f"{WRONG}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return found


def _streams(model: PreTrainedModel, *sites: str) -> list[torch.Tensor]:
    with capture(model, {site: (LAYER, site) for site in sites}) as acts:
        model(input_ids=TEXTS)
    return [acts[site] for site in sites]


def resid_is_right(model: PreTrainedModel) -> bool:
    """Doubling the stream before a layer and halving what it is made of are felt; leaving it as it is is not."""
    plain = _logits(model, TEXTS)
    with rewriting(model, LAYER, "resid_post", torch.clone):
        same = _logits(model, TEXTS)
    pre, post = _streams(model, "resid_pre", "resid_post")
    with rewriting(model, LAYER - 1, "resid_post", lambda acts: pre.flip(0)):
        (other,) = _streams(model, "resid_post")
    with rewriting(model, LAYER, "resid_post", lambda acts: acts.flip(-1)):
        changed = _logits(model, TEXTS)
    return near(same, plain) and not near(changed, plain) and not near(other, post)


def sites_are_right(model: PreTrainedModel) -> bool:
    """Without its two parts a layer passes the stream on as it is."""
    with rewriting(model, LAYER, "attn_out", torch.zeros_like), rewriting(model, LAYER, "mlp_out", torch.zeros_like):
        pre, post = _streams(model, "resid_pre", "resid_post")
    return near(post, pre)


def upper_layers_are_right(model: PreTrainedModel) -> bool:
    """From a stream that was never seen they give what the whole model gives when that stream is put in its place."""
    (post,) = _streams(model, "resid_post")
    mask_bt = torch.ones_like(TEXTS)
    mask_bt[1, -2:] = 0
    other = post.flip(-1) * 1.5
    with rewriting(model, LAYER, "resid_post", lambda acts: other):
        whole = _logits(model, TEXTS, attention_mask=mask_bt)
    with upper_layers(model, LAYER) as run:
        upper = run(other, mask_bt)
    return near(upper[mask_bt.bool()], whole[mask_bt.bool()])


def _dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(1)
    enc, dec = torch.randn(2, WIDTH, 48, generator=generator)
    return Dictionary(enc, torch.zeros(48), dec.T, torch.zeros(WIDTH))


def clamps_are_right(model: PreTrainedModel) -> bool:
    """A served clamp is the same rewriting of the stream by hand, and cached or not it says the same."""
    edit = clamped("clamp", "", (), LAYER, [[0, 3, 5, 8]], torch.ones(48), 3.0, {})
    dictionary, text_bt = _dictionary(), torch.ones_like(TEXTS, dtype=torch.bool)
    with rewriting(model, LAYER, "resid_post", lambda acts: rewrite(edit, dictionary, acts, text_bt)):
        by_hand = _logits(model, TEXTS)
    with applied(model, edit, dictionary):
        alike = near(_logits(model, TEXTS), by_hand)
    return alike and _is_served(model, edit, dictionary)


def guards_are_right(model: PreTrainedModel) -> bool:
    """A guard remembers over a cache what it has seen."""
    edit, dictionary = clamped("guard", "", (), LAYER, [list(range(48))], torch.ones(48), 3.0, {}), _dictionary()
    (post,) = _streams(model, "resid_post")
    scores_bt = dictionary.encode(post).cummax(1).values.sum(-1)
    edit = edit._replace(guard=Guard(torch.ones(48), -float(scores_bt[:, 2:4].mean())))
    return _is_served(model, edit, dictionary)


def _is_served(model: PreTrainedModel, edit: Edit, dictionary: Dictionary) -> bool:
    """An edited model says the same over a cache, in each way in which the architecture itself says the same."""
    ways = {name: way for name, way in WAYS.items() if _serves(model, way)}
    if not ways:
        raise PipelineError(WITHOUT_CACHE)
    with applied(model, edit, dictionary):
        return all(way(model) for way in ways.values())


def _serves(model: PreTrainedModel, way: Callable[[PreTrainedModel], bool]) -> bool:
    try:
        return way(model)
    except Exception:  # whatever transformers raises over a cache of its own
        return False


def _in_pieces(model: PreTrainedModel, *sizes: int) -> bool:
    parts, given = [], {}
    for piece in TEXTS.split(list(sizes), dim=1):
        out = model(input_ids=piece, use_cache=True, **given)
        given = {name: out[name] for name in ("past_key_values", "cache_params", "state") if out.get(name) is not None}
        parts.append(out.logits.float())
    return near(torch.cat(parts, dim=1), _logits(model, TEXTS))


def _with_beams(model: PreTrainedModel) -> bool:
    options = {"max_new_tokens": 4, "num_beams": 3, "pad_token_id": 0, "attention_mask": torch.ones_like(TEXTS)}
    return torch.equal(*(model.generate(TEXTS, use_cache=cached, **options) for cached in (True, False)))


WAYS: dict[str, Callable[[PreTrainedModel], bool]] = {
    "chunks": lambda model: _in_pieces(model, 3, 3),
    "tokens": lambda model: _in_pieces(model, 3, 1, 1, 1),
    "beams": _with_beams,
}


def output_map_is_right(model: PreTrainedModel) -> bool:
    """Without the map the MLP is silent."""
    found = output_map(model, LAYER)
    names = {module: name for name, module in model.named_modules()}
    weights = {f"{names[found]}.{name}": torch.zeros_like(weight) for name, weight in found.named_parameters()}
    heard: list[torch.Tensor] = []
    mlp = module_at(decoder_layers(model)[LAYER], "mlp")

    def hear(module: object, args: tuple, out: Any) -> None:
        heard.append((out[0] if isinstance(out, tuple) else out).clone())

    handle = mlp.register_forward_hook(hear)
    with swapped(model, weights):
        _logits(model, TEXTS)
    handle.remove()
    return bool(heard) and not any(out.any() for out in heard)


def linear_maps_are_right(model: PreTrainedModel) -> bool:
    """They hold all matrices of the layers above, and each is felt."""
    maps, plain = linear_maps(model, range(LAYER + 1, 4)), _logits(model, TEXTS)
    felt = []
    for name, module in maps.items():
        with swapped(model, {f"{name}.weight": module.weight.flip(-1)}):
            felt.append(not near(_logits(model, TEXTS), plain))
    return len(felt) > 0 and sum(felt) > len(felt) / 2


def weights_are_right(model: PreTrainedModel) -> bool:
    """Edited weights come back from a folder of transformers."""
    edited = {name: weight.flip(0) for name, weight in model.named_parameters() if weight.ndim > 1}
    plain = _logits(model, TEXTS)
    with tempfile.TemporaryDirectory() as folder, swapped(model, edited):
        wanted = _logits(model, TEXTS)
        model.save_pretrained(folder)
        check_opens(Path(folder), hash_weights(model))
        exported = load_model(Path(folder))
    return near(_logits(exported, TEXTS), wanted) and near(_logits(model, TEXTS), plain)


def _all_points(model: PreTrainedModel) -> None:
    check_points(model, [(LAYER, "attn_out"), (LAYER, "mlp_out")])


def _served(model: PreTrainedModel) -> None:
    check_stream(model, LAYER)


COLUMNS: dict[str, tuple[Callable[[PreTrainedModel], Any], Callable[[PreTrainedModel], bool]]] = {
    "residual stream": (_served, resid_is_right),
    "attn_out, mlp_out": (_all_points, sites_are_right),
    "upper layers": (lambda model: check_upper_layers(model, LAYER), upper_layers_are_right),
    "clamps, gates": (_served, clamps_are_right),
    "guards": (_served, guards_are_right),
    "rmu": (lambda model: output_map(model, LAYER), output_map_is_right),
    "adapters": (lambda model: linear_maps(model, range(LAYER + 1, 4)), linear_maps_are_right),
    "weights": (lambda model: None, weights_are_right),
}


@torch.no_grad()
def row(name: str) -> dict[str, str]:
    """The row of one architecture: its columns, or why it is left out."""
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = build(name)
        except Exception as error:  # of whatever an architecture raises where it is not what it is built as
            return {"left out": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"}
        return judge(model)


def page(found: dict[str, Any]) -> str:
    """The table for people: a mark for what is right, a number for a sentence below."""
    sentences: dict[str, int] = {}
    lines = ["| architecture | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, cells in found["rows"].items():
        if "left out" in cells:
            continue
        marks = []
        for column in COLUMNS:
            said = cells[column]
            plain = functools.reduce(lambda text, rule: re.sub(*rule, text), PLAIN, said)
            marks.append("yes" if said == RIGHT else str(sentences.setdefault(plain, len(sentences) + 1)))
        lines.append(f"| `{name}` | {' | '.join(marks)} |")
    refused = [f"{number}. {sentence}" for sentence, number in sentences.items()]
    out = [f"- `{name}`: {cells['left out']}" for name, cells in found["rows"].items() if "left out" in cells]
    return PAGE_TEXT.format(
        version=found["transformers"], table="\n".join(lines), refused="\n".join(refused), out="\n".join(out)
    )


# What differs from one architecture to the next in sentences that say the same.
PLAIN = (
    (r"^\w+ has no module", "its layer has no module"),
    (r"^\w+ has no list of \d+", "it has no list of"),
    (r"the weights \S+ \(\d[^)]*\)", "some weights"),
    (r"the linear map \S+", "a linear map"),
    (r"\(\d[^)]*\)|\d+%", "N"),
    (r"layer \d", "layer L"),
    (r"\((\w+): .*\)$", r"(\1)"),
    (r"can't be loaded: .*", "can't be loaded"),
)

PAGE_TEXT = """# Architectures

After this page you know whether your model can be read and edited, and with which sentence it is refused if not.

Which models can be read and edited. Every decoder-only architecture of transformers {version} was built with small
random weights, and `python -m benchmarks.architectures` tried on it what the project does: `yes` is right, a number is
the sentence with which the project refuses it. A model is asked the same when it is opened, by a few tokens; nothing in
this table is taken from a list of names.

{table}

What is refused, and why (N a number, L a layer):

{refused}

Left out:

{out}
"""


def main(names: list[str]) -> None:
    """Print the rows of some architectures, or write those of all."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    rows = {}
    for name in names or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        rows[name] = row(name)
        print(json.dumps({name: rows[name]}), flush=True)
    if not names:
        found = {"transformers": __version__, "rows": rows}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
