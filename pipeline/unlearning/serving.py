"""What an edited model reads, call by call: which tokens of a call may be edited, and what came before them.

A text may come at once or in pieces over a cache: in chunks, token by token, in a second turn. What a guard has seen of
the earlier pieces stays with the cache itself and follows it when its rows are reordered (beams), selected or repeated,
when it is cropped, emptied or copied. A cache with tokens that were not read under the edit is refused: what the edit
should have changed is in it.
"""

import functools
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from pipeline.core.errors import PipelineError

_CACHES = ("past_key_values", "cache_params")  # the words of transformers' models
_OTHER_STATES = ("state", "mems")  # RWKV's and XLNet's
_PACKED = ("cu_seq_lens_q", "block_table")  # texts one behind the other in one row, as continuous batching has them


class Past(NamedTuple):
    """The tokens in a cache, row by row; without a guard nothing is kept of their streams (d and g are 0)."""

    resid_btd: torch.Tensor
    editable_bt: torch.Tensor
    largest_bg: torch.Tensor | None  # the largest code so far of each latent of the guard; None after a crop

    def __getitem__(self, rows: Any) -> "Past":
        """The chosen rows, in the order given."""
        return Past(*(None if part is None else part[rows] for part in self))

    def followed_by(self, resid_btd: torch.Tensor, editable_bt: torch.Tensor, largest_bg: torch.Tensor) -> "Past":
        """With the tokens of one more call; the last argument counts all of them."""
        resid_btd = torch.cat([self.resid_btd, resid_btd], dim=1)
        return Past(resid_btd, torch.cat([self.editable_bt, editable_bt], dim=1), largest_bg)

    def without_last(self, n_tokens: int) -> "Past":
        """The same before its last tokens came."""
        kept = slice(max(0, self.editable_bt.shape[1] - n_tokens))
        return Past(self.resid_btd[:, kept], self.editable_bt[:, kept], None if n_tokens else self.largest_bg)


class Call(NamedTuple):
    """One call of the model: its cache, what that holds, and which of the new tokens may be edited."""

    keeps: bool  # whether a state is asked for, for the tokens to come
    cache: Any
    past: Past | None
    editable_bt: torch.Tensor


def open_call(model: PreTrainedModel, given: dict[str, Any], bos: int | None, owner: str, guarded: bool) -> Call:
    """Read the arguments of a call; ``owner`` names the edit among all that follow the cache.

    A token may be edited that is neither ``bos`` nor padding, which the attention mask tells: any id may pad.
    """
    _refuse_what_cannot_be_followed(given, guarded)
    cache = next((given[name] for name in _CACHES if given.get(name) is not None), None)
    past = None if cache is None else _past(cache, owner)
    first_bt = _is_bos(model, given, bos)
    n_before = 0 if past is None else past.editable_bt.shape[1]
    if past is not None and len(past.editable_bt) != len(first_bt):
        raise PipelineError(
            f"the cache holds {len(past.editable_bt)} texts and {len(first_bt)} were given; give as many, or a new "
            "cache"
        )
    editable_bt = ~first_bt & _is_text(given.get("attention_mask"), first_bt, n_before)
    return Call(given.get("use_cache") is True, cache, past, editable_bt)


def _refuse_what_cannot_be_followed(given: dict[str, Any], guarded: bool) -> None:
    found = [name for name in _OTHER_STATES if given.get(name) is not None]
    if found:
        raise PipelineError(
            f"an edit cannot follow what this model keeps in `{found[0]}`; call it with `use_cache=False`"
        )
    if guarded and any(given.get(name) is not None for name in _PACKED):
        raise PipelineError("a guard cannot follow texts that are packed into one row; give each text a row of its own")


def _is_bos(model: PreTrainedModel, given: dict[str, Any], bos: int | None) -> torch.Tensor:
    """Where the first token of texts stands, bool [b, t]; embeddings are compared with that token's own."""
    ids_bt, embeds_btd = given.get("input_ids"), given.get("inputs_embeds")
    if ids_bt is None and embeds_btd is None:
        raise PipelineError("an edited model needs `input_ids` or `inputs_embeds`; give one of them")
    if ids_bt is not None:
        return ids_bt == bos if bos is not None else torch.zeros_like(ids_bt, dtype=torch.bool)
    if bos is None:
        return torch.zeros(embeds_btd.shape[:2], dtype=torch.bool, device=embeds_btd.device)
    row_d = model.get_input_embeddings()(torch.tensor([bos], device=embeds_btd.device))[0]
    return (embeds_btd == row_d.to(embeds_btd.dtype)).all(-1)


def _is_text(mask: Any, like_bt: torch.Tensor, n_before: int) -> torch.Tensor:
    """Where the new tokens are text and no padding, bool [b, t], from any mask that transformers takes."""
    if isinstance(mask, dict):  # one mask for each kind of layer
        if "full_attention" not in mask:
            raise PipelineError("of these attention masks none is of full attention; give one of shape [texts, tokens]")
        mask = mask["full_attention"]
    if mask is None:
        return torch.ones_like(like_bt, dtype=torch.bool)
    n_texts, width = like_bt.shape
    if mask.ndim == 4:  # [b, heads, queries, keys]: what no query may look at is padding
        mask = (mask if mask.dtype == torch.bool else mask == 0).any(2).any(1)
    if mask.ndim != 2 or mask.shape[1] < n_before + width:
        raise PipelineError(
            f"the attention mask has shape {tuple(mask.shape)}; it must be [texts, tokens] and cover the "
            f"{n_before} tokens in the cache and the {width} new ones"
        )
    return mask[:, n_before : n_before + width].bool().expand(n_texts, width).to(like_bt.device)


def _past(cache: Any, owner: str) -> Past | None:
    """What the cache holds, read under the edit; refused if that is not all that it holds."""
    if not hasattr(cache, "get_seq_length"):
        raise PipelineError(
            f"an edit cannot follow what this model keeps in a {type(cache).__name__}; call it with `use_cache=False`"
        )
    past = cache.pasts.get(owner) if isinstance(cache, _Followed) else None
    ours = 0 if past is None else past.editable_bt.shape[1]
    if ours != _length(cache, ours):
        raise PipelineError(
            "the cache holds tokens that were not read under this edit; start with a new cache inside the block"
        )
    return past


def _length(cache: Any, ours: int) -> int:
    """The number of tokens in a cache; one of recurrent layers alone only tells whether there are any."""
    try:
        return int(cache.get_seq_length())
    except ValueError:
        return ours if cache.has_previous_state() == (ours > 0) else -1


def follow(call: Call, output: Any, owner: str, past: Past) -> None:
    """Keep ``past`` with the cache that a call returns; a model that keeps its state elsewhere is refused."""
    parts = output if isinstance(output, tuple) else [getattr(output, name, None) for name in _CACHES]
    found = next((part for part in parts if hasattr(part, "get_seq_length")), None)
    if found is None and call.keeps:
        raise PipelineError(
            "this model keeps what it has read where an edit cannot follow it; call it with `use_cache=False`"
        )
    found = call.cache if found is None else found
    if found is None:
        return
    if not isinstance(found, _Followed):
        found.__class__ = _followed(type(found))
        found.pasts = {}
    found.pasts[owner] = past


class _Followed:
    """Mixed into the class of a cache: whatever becomes of its rows and tokens becomes of its pasts."""

    pasts: dict[str, Past]

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        super().reorder_cache(beam_idx)
        self._choose(beam_idx)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self._choose(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        for past in list(self.pasts.values())[:1]:
            rows = torch.arange(len(past.editable_bt), device=past.editable_bt.device)
            self._choose(rows.repeat_interleave(repeats))

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        self.pasts = {owner: past.without_last(abs(tokens_to_remove)) for owner, past in self.pasts.items()}

    def reset(self) -> None:
        super().reset()
        self.pasts = {}

    def _choose(self, rows: Any) -> None:
        rows = rows.to(next(iter(self.pasts.values())).editable_bt.device) if isinstance(rows, torch.Tensor) else rows
        self.pasts = {owner: past[rows] for owner, past in self.pasts.items()}

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """Copied and pickled by the class that it had: the mixed one has no name that pickle could find."""
        return _remade, (type(self).__bases__[1],), self.__dict__


@functools.cache
def _followed(kind: type) -> type:
    return type(kind.__name__, (_Followed, kind), {})


def _remade(kind: type) -> Any:
    return _followed(kind).__new__(_followed(kind))
