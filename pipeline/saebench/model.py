"""A Hugging Face folder as the HookedTransformer that sae-bench expects, equal to the original.

TransformerLens builds Gemma-2 by name only (26 layers x 2304), so a folder of another size is configured here by hand;
the weights go through TransformerLens' own conversion. Other architectures go through its TransformerBridge, which
wraps the Hugging Face model itself.
"""

import functools
import warnings
from pathlib import Path

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.pretrained.weight_conversions import convert_gemma_weights
from transformers import Gemma2Config, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.language_model.loading import load_model, load_tokenizer


def load_hooked(model_dir: Path, name: str, dtype: str, device: str) -> HookedTransformer | TransformerBridge:
    """The model of ``model_dir`` with TransformerLens' hook names, without any folding or centring of weights."""
    model = load_model(model_dir, dtype=dtype, device="cpu")
    tokenizer = _with_bos(load_tokenizer(model_dir))
    if isinstance(model.config, Gemma2Config):
        # TransformerLens' own short form of a hub id; sae-bench's unlearning finds its prompt format by it.
        return hooked_gemma2(model, tokenizer, name.split("/")[-1]).to(device)
    return TransformerBridge.boot_transformers(
        name, hf_model=model.to(device), tokenizer=tokenizer, dtype=model.dtype, device=device
    )


def hooked_gemma2(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> HookedTransformer:
    """A Gemma-2 of any size as a HookedTransformer on the CPU; ``name`` is what sae-bench records."""
    config = gemma2_config(model.config, name, model.dtype)
    with warnings.catch_warnings():
        # TransformerLens 4 will drop HookedTransformer; sae-bench's unlearning eval still asks for that class.
        warnings.filterwarnings("ignore", "HookedTransformer is deprecated", DeprecationWarning)
        hooked = HookedTransformer(config, tokenizer, move_to_device=False)
    with torch.no_grad():
        weights = convert_gemma_weights(model, config)
    hooked.load_and_process_state_dict(
        weights, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    return hooked.to(model.dtype).eval().requires_grad_(False)


def gemma2_config(config: Gemma2Config, name: str, dtype: torch.dtype) -> HookedTransformerConfig:
    """TransformerLens' words for a Hugging Face Gemma-2 configuration."""
    kinds = {"sliding_attention": "local", "full_attention": "global"}
    return HookedTransformerConfig(
        model_name=name,
        original_architecture="Gemma2ForCausalLM",
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        d_head=config.head_dim,
        n_heads=config.num_attention_heads,
        n_key_value_heads=config.num_key_value_heads,
        d_mlp=config.intermediate_size,
        d_vocab=config.vocab_size,
        n_ctx=min(config.max_position_embeddings, 8192),  # the causal mask has its square
        act_fn=config.hidden_activation,
        gated_mlp=True,
        eps=config.rms_norm_eps,
        normalization_type="RMS",
        final_rms=True,
        use_normalization_before_and_after=True,
        positional_embedding_type="rotary",
        rotary_base=config.rope_parameters["rope_theta"],
        rotary_dim=config.head_dim,
        attn_scale=config.query_pre_attn_scalar**0.5,
        use_local_attn=True,
        window_size=config.sliding_window,
        attn_types=[kinds[kind] for kind in config.layer_types],
        attn_scores_soft_cap=config.attn_logit_softcapping or -1.0,  # -1 is TransformerLens' "no cap"
        output_logits_soft_cap=config.final_logit_softcapping or -1.0,
        initializer_range=config.initializer_range,
        init_weights=False,
        dtype=dtype,
        device="cpu",
    )


def serve(model_dir: Path, name: str) -> None:
    """From now on TransformerLens' loader gives the model of ``model_dir``, whatever name sae-bench asks for.

    Every eval of one job asks for the same model: core by ``sae.cfg.model_name``, the others by their configuration.
    The last one loaded is kept, so that evals share it. The process ends with the job: the replacement is not undone.
    """

    load_once = functools.lru_cache(maxsize=1)(functools.partial(load_hooked, model_dir, name))

    def from_folder(cls, asked, device=None, dtype="float32", **ignored):
        if asked != name:
            raise ValueError(f"sae-bench asks for the model {asked}, but this job is about {name}")
        return load_once(str(dtype).removeprefix("torch."), str(device or "cpu"))

    HookedTransformer.from_pretrained_no_processing = classmethod(from_folder)


def _with_bos(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Say that the tokenizer prepends BOS where it does; TransformerLens else loads another one by its path."""
    if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        tokenizer.init_kwargs["add_bos_token"] = True
    return tokenizer
