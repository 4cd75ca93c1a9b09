"""Logits of many tokens over a wide vocabulary, a few tokens at a time.

A vocabulary of 262,144 makes [tokens, vocabulary] the largest thing by far: 1 MiB of float32 a token, several times
over in a loss and its gradient. What asks for logits wants one number a token of them, so a pass stops in front of the
model's head, and the head is given the states of a few tokens after the other. What follows the head (a soft cap, a
scale) is the model's own: it is called on one token, and its head answers for other states. Gradients go through every
few tokens by computing them again (``checkpoint``). What fits at once is computed at once, in the ordinary way.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

AT_ONCE = 1 << 25  # logits: 128 MiB of float32, and some copies; 51,000 tokens of a vocabulary of 650, 128 of Gemma's

LogitsOf = Callable[[torch.Tensor], torch.Tensor]  # states [k, d] in front of the head -> logits [k, v], float32


class Pass(NamedTuple):
    """A model's pass over one batch, not yet made: ``run(*inputs)`` gives logits; inputs are [b, t] or [b, t, d]."""

    head: nn.Module
    run: Callable[..., torch.Tensor]
    inputs: tuple[torch.Tensor, ...]

    def logits(self) -> torch.Tensor:
        """All of them, [b, t, v]."""
        return self.run(*self.inputs)

    def logits_at(self, row_n: torch.Tensor, position_n: torch.Tensor) -> torch.Tensor:
        """Those of some places, [n, v]; the head does nothing elsewhere."""
        with head_at(self.head, row_n, position_n):
            return self.run(*self.inputs)

    def states_at(self, row_n: torch.Tensor, position_n: torch.Tensor) -> torch.Tensor:
        """What the head would be given at some places, [n, d]."""
        seen = []

        def stop(states_btd: torch.Tensor) -> torch.Tensor:
            seen.append(states_btd)
            return states_btd[:1, :1]

        with _given(self.head, stop):
            self.run(*self.inputs)
        return seen[0][row_n.to(seen[0].device), position_n.to(seen[0].device)]

    def logits_of(self, states_kd: torch.Tensor) -> torch.Tensor:
        """The logits [k, v] of any states, float32."""
        with _given(self.head, lambda _: states_kd):
            return self.run(*(tensor[:1, :1] for tensor in self.inputs)).float()

    def fits(self, n_tokens: int) -> bool:
        """Whether the logits of so many tokens are few enough to be held at once."""
        return not is_wide(self.head, n_tokens)

    @property
    def width(self) -> int:
        """Size of the vocabulary: a head's weight is [v, d], whatever its class."""
        return self.head.weight.shape[0]


def is_wide(head: nn.Module, n_tokens: int) -> bool:
    """Whether the logits of so many tokens are too many to be held at once."""
    return n_tokens * head.weight.shape[0] > AT_ONCE


class Reweighted(NamedTuple):
    """A model with other weights in place of its own; called like the model, which stays as it is."""

    model: PreTrainedModel
    weights: dict[str, torch.Tensor]

    def __call__(self, **inputs: torch.Tensor) -> Any:
        return functional_call(self.model, self.weights, kwargs=inputs)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def get_output_embeddings(self) -> nn.Module:
        return self.model.get_output_embeddings()


def pass_of(model: PreTrainedModel | Reweighted, ids_bt: torch.Tensor, mask_bt: torch.Tensor) -> Pass:
    """A whole model's pass."""

    def run(ids_bt: torch.Tensor, mask_bt: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids_bt, attention_mask=mask_bt, use_cache=False).logits

    return Pass(model.get_output_embeddings(), run, (ids_bt, mask_bt))


def head_at(head: nn.Module, row_n: torch.Tensor, position_n: torch.Tensor) -> AbstractContextManager[None]:
    """Inside the block a model's logits are [n, v], those at ``(row_n, position_n)``, in place of [b, t, v]."""
    row_n, position_n = row_n.to(head.weight.device), position_n.to(head.weight.device)
    return _given(head, lambda states_btd: states_btd[row_n, position_n])


@contextmanager
def _given(head: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Inside the block the head is given ``change(states)`` in place of the states that reach it."""
    handle = head.register_forward_pre_hook(lambda _, args: change(args[0]))
    try:
        yield
    finally:
        handle.remove()


def spans(n_tokens: int, width: int) -> list[slice]:
    """``n_tokens`` in parts of which the logits fit."""
    size = max(1, AT_ONCE // width)
    return [slice(start, min(start + size, n_tokens)) for start in range(0, n_tokens, size)]


def logprobs_at(
    made: Pass, row_n: torch.Tensor, position_n: torch.Tensor, place_m: torch.Tensor, token_m: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities [m] of tokens at the n places, and whether each is the likeliest there; differentiable."""
    states_nd = made.states_at(row_n, position_n)
    place_m, token_m = place_m.to(states_nd.device), token_m.to(states_nd.device)
    order_m = torch.argsort(place_m, stable=True)
    found, first = [], []
    for span in spans(len(states_nd), made.width):
        here_m = order_m[(place_m[order_m] >= span.start) & (place_m[order_m] < span.stop)]
        look = partial(_logprobs, made.logits_of, place_m=place_m[here_m] - span.start, token_m=token_m[here_m])
        logprob_m, first_m = _again(look, states_nd[span])
        found.append(logprob_m)
        first.append(first_m)
    back_m = torch.argsort(order_m)
    return torch.cat(found)[back_m], torch.cat(first)[back_m]


def next_logprobs(made: Pass, ids_bt: torch.Tensor, where_bt: torch.Tensor) -> torch.Tensor:
    """Log-probability of each next token that ``where_bt`` [b, t - 1] marks, 0 elsewhere; float32 [b, t - 1]."""
    row_n, position_n = where_bt.nonzero(as_tuple=True)
    every_n = torch.arange(len(row_n), device=row_n.device)
    logprob_n, _ = logprobs_at(made, row_n, position_n, every_n, ids_bt[row_n, position_n + 1])
    return logprob_n.new_zeros(where_bt.shape).index_put((row_n, position_n), logprob_n)


def divergences(made: Pass, original: Pass, where_bt: torch.Tensor) -> torch.Tensor:
    """KL(original || made) of the next token where marked, 0 elsewhere; float32 [b, t], its gradient that of made."""
    places = where_bt.nonzero(as_tuple=True)
    with torch.no_grad():
        wanted_nd = original.states_at(*places)
    kl_n = divergences_at(made, original.logits_of, wanted_nd, *places)
    return kl_n.new_zeros(where_bt.shape).index_put(places, kl_n)


@torch.no_grad()
def moved(
    made: Pass, original: Pass, ids_bt: torch.Tensor, where_bt: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both at once, without a gradient: log-probability of each marked next token, and KL(original || made) there."""
    row_n, position_n = places = where_bt.nonzero(as_tuple=True)
    next_n = ids_bt[row_n, position_n + 1]
    wanted_nd, states_nd = original.states_at(*places), made.states_at(*places)
    logprob_n, kl_n = torch.zeros(2, len(next_n), device=states_nd.device)
    for span in spans(len(next_n), made.width):
        got_kv = made.logits_of(states_nd[span]).log_softmax(-1)
        wanted_kv = original.logits_of(wanted_nd[span]).log_softmax(-1)
        logprob_n[span] = got_kv.gather(-1, next_n[span, None]).squeeze(-1)
        kl_n[span] = F.kl_div(got_kv, wanted_kv, reduction="none", log_target=True).sum(-1)
    empty_bt = logprob_n.new_zeros(where_bt.shape)
    return empty_bt.index_put(places, logprob_n), empty_bt.index_put(places, kl_n)


def divergences_at(
    made: Pass, original_of: LogitsOf, wanted_nd: torch.Tensor, row_n: torch.Tensor, position_n: torch.Tensor
) -> torch.Tensor:
    """The same at some places, float32 [n]; ``wanted_nd`` are the original's states in front of its head there."""
    states_nd = made.states_at(row_n, position_n)
    parts = [
        _again(partial(_divergences, made.logits_of, original_of, wanted_nd[span]), states_nd[span])
        for span in spans(len(states_nd), made.width)
    ]
    return torch.cat(parts)


def _again(part: Callable[[torch.Tensor], torch.Tensor], states_kd: torch.Tensor) -> torch.Tensor:
    """``part(states_kd)``; on the way back it is computed once more in place of being kept."""
    if not torch.is_grad_enabled():
        return part(states_kd)
    return checkpoint(part, states_kd, use_reentrant=False, preserve_rng_state=False)


def _logprobs(
    logits_of: LogitsOf, states_kd: torch.Tensor, place_m: torch.Tensor, token_m: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    logits_kv = logits_of(states_kd)
    logprob_m = logits_kv[place_m, token_m] - logits_kv.logsumexp(-1)[place_m]
    return logprob_m, logits_kv.argmax(-1)[place_m] == token_m


def _divergences(
    logits_of: LogitsOf, original_of: LogitsOf, wanted_kd: torch.Tensor, states_kd: torch.Tensor
) -> torch.Tensor:
    with torch.no_grad():
        wanted_kv = original_of(wanted_kd).log_softmax(-1)
    got_kv = logits_of(states_kd).log_softmax(-1)
    return F.kl_div(got_kv, wanted_kv, reduction="none", log_target=True).sum(-1)
