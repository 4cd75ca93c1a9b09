"""Tiny language models written as GGUF files, as llama.cpp's converter writes real ones."""

from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel

from tests.support.tiny_lm import SIZES

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
_LETTERS = list("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;'-?!()\"")
_MERGED = "th the ▁the an in ▁in is ▁is er on at en of ▁of al ca it ▁c ▁a ▁I ly Ital Italy ▁Italy".split()
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
TOKENS = [*_SPECIAL, *_BYTES, *_LETTERS, *dict.fromkeys(_MERGED)]
_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gemma3(**changes: int) -> PreTrainedModel:
    """A Gemma-3 with random weights, norms included."""
    torch.manual_seed(0)
    sizes = SIZES | {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 8}
    model = Gemma3ForCausalLM(
        Gemma3TextConfig(**sizes | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2} | changes)
    )
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def write_gguf(path: Path, model: PreTrainedModel, quantised: bool = False) -> Path:
    """The model with a vocabulary of letters, bytes and a few words; ``quantised`` stores matrices as Q8_0."""
    kind = model.config.model_type.removesuffix("_text")
    writer = GGUFWriter(path, kind)
    _write_keys(writer, model, quantised)
    _write_vocabulary(writer)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight" or not model.config.tie_word_embeddings:
            _write_tensor(writer, _name(name, kind), _stored(name, weight, model, kind), quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_keys(writer: GGUFWriter, model: PreTrainedModel, quantised: bool) -> None:
    config = model.config
    writer.add_name(f"tiny {config.model_type}")
    writer.add_license("none")
    writer.add_file_type(7 if quantised else 0)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.model_type != "llama":
        writer.add_sliding_window(config.sliding_window)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)


def _write_vocabulary(writer: GGUFWriter) -> None:
    kinds = [_CONTROL] * 3 + [_UNKNOWN] + [_BYTE] * 256
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * 260 + [-float(i) for i in range(len(TOKENS) - 260)])
    writer.add_token_types(kinds + [_NORMAL] * (len(TOKENS) - len(kinds)))
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def _name(name: str, kind: str) -> str:
    parts = name.removeprefix("model.").removesuffix(".weight").split(".")
    if parts[0] == "lm_head":
        return "output.weight"
    if parts[0] != "layers":
        return f"{_NAMES[parts[0]]}.weight"
    inner = ".".join(parts[2:])
    stored = "ffn_norm" if kind == "llama" and inner == "post_attention_layernorm" else _NAMES[inner]
    return f"blk.{parts[1]}.{stored}.weight"


def _stored(name: str, weight: torch.Tensor, model: PreTrainedModel, kind: str) -> torch.Tensor:
    """Gemma's norms are stored with their 1, Llama's queries and keys with their rotary halves interleaved."""
    if "norm" in name and kind != "llama":
        return weight + 1
    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    here = next((n for key, n in heads.items() if key in name), None)
    if kind == "llama" and here is not None:
        return (
            weight.reshape(here, 2, weight.shape[0] // here // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        )
    return weight


def _write_tensor(writer: GGUFWriter, name: str, weight: torch.Tensor, quantised: bool) -> None:
    values = weight.detach().float().contiguous().numpy()
    if quantised and values.ndim == 2 and values.shape[1] % 32 == 0:  # Q8_0 has blocks of 32
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, values)
