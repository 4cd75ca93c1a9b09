"""What an edit was made for: hashes of the model and the dictionary, so that another run's edit is refused by name."""

import hashlib

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.errors import PipelineError
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.edit import Edit, Origin

READ_WHOLE = 1 << 16  # values of a tensor; of a larger one about so many are read, evenly spaced


def origin(model: PreTrainedModel, dictionary: Dictionary, tokenizer: PreTrainedTokenizerBase) -> Origin:
    """What the edits of a model, through a dictionary, say of where they belong."""
    return Origin(hash_weights(model), hash_weights(dictionary), tokenizer.bos_token_id)


@torch.no_grad()
def hash_weights(module: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all parameters, as they are in memory.

    Cheap for large models: the values are a sample (under a second for 9 billion). They are rounded to bfloat16, so
    that a model in float32 and the same in bfloat16 have one hash.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.named_parameters()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        step = -(-tensor.numel() // READ_WHOLE)
        values = tensor.reshape(-1)[:: max(1, step)].to(torch.bfloat16).cpu()
        digest.update(values.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def refuse_others(edit: Edit, dictionary: Dictionary, model: PreTrainedModel) -> None:
    """Refuse a model, or a dictionary that the edit acts through, other than those it was made for."""
    made_for = edit.origin
    if made_for is None:
        return
    if made_for.model != hash_weights(model):
        raise PipelineError(
            f"the edit `{edit.method}` was made for another model: these weights (in {model.dtype}) are not those of "
            "its run; open the `data/model` that it was made with, as it was saved and outside any other edit"
        )
    if (len(edit.latents) or edit.guard) and made_for.dictionary != hash_weights(dictionary):
        raise PipelineError(
            f"the edit `{edit.method}` was made with another dictionary; name the `data/sae` of its own run"
        )
