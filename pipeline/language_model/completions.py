"""What a model says next: the likeliest tokens after a prompt, and how it goes on when it always takes the first."""

from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.errors import PipelineError
from pipeline.language_model.checks import max_positions
from pipeline.language_model.loading import leading_tokens
from pipeline.language_model.wide_head import pass_of

LIKELIEST, LENGTH = 5, 12  # tokens


class Completion(NamedTuple):
    """``likeliest``: the next token's text with its probability, the likeliest first; ``text``: the greedy one."""

    likeliest: list[tuple[str, float]]
    text: str


@torch.no_grad()
def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, length: int = LENGTH
) -> Completion:
    """Ask a model as it is, or under whatever edit is in force; greedy text ends with the model's end of text."""
    ids = prompt_tokens(model, tokenizer, prompt, length)
    n_prompt, likeliest = len(ids), []
    for _ in range(length):
        logits_v = _next(model, ids)
        if not likeliest:
            best = logits_v.softmax(-1).topk(min(LIKELIEST, len(logits_v)))
            likeliest = [
                (tokenizer.decode([i]), p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
        ids.append(int(logits_v.argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return Completion(likeliest, tokenizer.decode(ids[n_prompt:], skip_special_tokens=True).strip())


def prompt_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, length: int) -> list[int]:
    """The prompt as the model reads it; refused where nothing is in it or no room is left for the answer."""
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if not ids:
        raise PipelineError("the prompt is empty; give the beginning of a sentence")
    ids = leading_tokens(tokenizer) + ids
    positions = max_positions(model.config.get_text_config().to_dict())
    if positions is not None and len(ids) + length > positions:
        raise PipelineError(
            f"the prompt has {len(ids)} tokens and the answer {length}, but the model reads at most {positions}; "
            "shorten the prompt"
        )
    return ids


def _next(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Logits of the token after these, float32 [v]."""
    ids_bt = torch.tensor([ids], device=model.device)
    last = torch.tensor([0]), torch.tensor([len(ids) - 1])
    return pass_of(model, ids_bt, torch.ones_like(ids_bt)).logits_at(*last)[0].float()
