"""The product with the vocabulary, where it is wanted only: a probe needs one place of twenty."""

import contextlib
from collections.abc import Iterator

import torch
from transformers import PreTrainedModel


@contextlib.contextmanager
def head_at(model: PreTrainedModel, row_n: torch.Tensor, position_n: torch.Tensor) -> Iterator[None]:
    """Inside the block the model's logits are [n, v], those at ``(row_n, position_n)``, in place of [b, t, v]."""
    head = model.get_output_embeddings()
    row_n, position_n = row_n.to(head.weight.device), position_n.to(head.weight.device)

    def pick(module: torch.nn.Module, args: tuple[torch.Tensor]) -> torch.Tensor:
        return args[0][row_n, position_n]

    handle = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()
