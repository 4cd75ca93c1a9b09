"""A bench: fixed probes and texts, answered again and again under different edits.

The residual stream at the edited layer is computed once; an edit of that stream then costs the layers above it only.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.language_model.answers import InputBatch, answer, batches_by_length, pad_right, plan, tokenize
from pipeline.language_model.hooks import capture, upper_layers
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.applying import rewrite, swapped
from pipeline.unlearning.edit import Edit

Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Outcome(NamedTuple):
    """What one model knows: per probe (q) cloze and choice, per text (x) the summed loss in nats."""

    cloze_q: torch.Tensor
    choice_q: torch.Tensor
    loss_x: torch.Tensor


class Bench:
    """Probes and texts, tokenised and batched, with their residuals at ``layer``."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        dictionary: Dictionary,
        layer: int,
        probes: Sequence[dict],
        texts: Sequence[dict],
        context_length: int = 128,
        batch_tokens: int = 8192,
    ) -> None:
        self.model, self.tokenizer, self.dictionary, self.layer = model, tokenizer, dictionary, layer
        self.probes, self.texts = list(probes), list(texts)
        self.questions = [tokenize(probe, tokenizer) for probe in probes]
        self.exam = plan(self.questions, tokenizer.pad_token_id, batch_tokens)
        documents = [tokenizer(t["text"], truncation=True, max_length=context_length)["input_ids"] for t in texts]
        self.tokens_x = torch.tensor([len(document) - 1 for document in documents], dtype=torch.float64)
        self.reading = [
            InputBatch([(x, 0) for x in batch], *pad_right([documents[x] for x in batch], tokenizer.pad_token_id))
            for batch in batches_by_length(list(map(len, documents)), batch_tokens)
        ]
        self.batches = [*self.exam, *self.reading]
        self.resid = list(self._residuals(self.batches))

    @torch.no_grad()
    def _residuals(self, batches: Sequence[InputBatch]) -> Iterator[torch.Tensor]:
        device = self.model.device
        for batch in batches:
            with capture(self.model, {"resid": (self.layer, "resid_post")}) as seen:
                self.model(input_ids=batch.ids_bt.to(device), attention_mask=batch.mask_bt.to(device))
            yield seen["resid"]

    def editable(self, batch: InputBatch) -> torch.Tensor:
        """True where a token may be edited: neither ``<bos>`` nor padding."""
        return (batch.mask_bt.bool() & (batch.ids_bt != self.tokenizer.bos_token_id)).to(self.model.device)

    def measure(self, edit: Edit) -> Outcome:
        """Answer everything under an edit."""
        if edit.weights:
            return self._outcome(self._with_weights(edit))
        return self.replay(lambda resid_btd, editable_bt: rewrite(edit, self.dictionary, resid_btd, editable_bt))

    def replay(self, change: Change) -> Outcome:
        """Answer everything with ``change(resid_btd, editable_bt)`` in place of the residual stream."""
        return self._outcome(self._changed(change))

    def edit_norm(self, edit: Edit, batches: Sequence[int]) -> list[float]:
        """``|x' - x| / |x|`` of the residual at the layer, mean over the editable tokens of each batch."""
        after = [self.resid[i] for i in batches]
        if edit.weights:
            with swapped(self.model, edit.weights):
                after = list(self._residuals([self.batches[i] for i in batches]))
        norms = []
        for i, resid_btd in zip(batches, after, strict=True):
            editable_bt = self.editable(self.batches[i])
            edited = rewrite(edit, self.dictionary, resid_btd, editable_bt)
            change_bt = (edited - self.resid[i]).float().norm(dim=-1) / self.resid[i].float().norm(dim=-1)
            norms.append(change_bt[editable_bt].mean().item())
        return norms

    @torch.no_grad()
    def divergence(self, edit: Edit) -> torch.Tensor:
        """KL(unedited || edited) of the next token, in nats, summed over the tokens of every text [x]; float64."""
        kl_x = torch.zeros(len(self.texts), dtype=torch.float64)
        for batch, resid_btd in zip(self.reading, self.resid[len(self.exam) :], strict=True):
            before_btv, after_btv = self._before_and_after(edit, batch, resid_btd)
            kl_bt = torch.nn.functional.kl_div(after_btv, before_btv, log_target=True, reduction="none").sum(-1)
            kl_x[[x for x, _ in batch.rows]] = (kl_bt * batch.mask_bt[:, 1:].to(kl_bt.device)).double().sum(1).cpu()
        return kl_x

    def _before_and_after(self, edit: Edit, batch: InputBatch, resid_btd: torch.Tensor) -> list[torch.Tensor]:
        """Log probabilities of every token but the first, [b, t - 1, v]."""
        mask_bt = batch.mask_bt.to(resid_btd.device)
        with upper_layers(self.model, self.layer) as run:
            logits = [run(resid_btd, mask_bt)]
            if not edit.weights:
                logits.append(run(rewrite(edit, self.dictionary, resid_btd, self.editable(batch)), mask_bt))
        if edit.weights:
            with swapped(self.model, edit.weights):
                logits.append(self.model(input_ids=batch.ids_bt.to(resid_btd.device), attention_mask=mask_bt).logits)
        return [logits_btv[:, :-1].float().log_softmax(-1) for logits_btv in logits]

    @torch.no_grad()
    def _outcome(self, logits: Iterator[torch.Tensor]) -> Outcome:
        with contextlib.closing(logits):
            answers = answer(self.questions, self.exam, (next(logits) for _ in self.exam))
            return Outcome(answers.cloze_q, answers.choice_q, self._losses(logits))

    def _changed(self, change: Change) -> Iterator[torch.Tensor]:
        with upper_layers(self.model, self.layer) as run:
            for batch, resid_btd in zip(self.batches, self.resid, strict=True):
                edited = change(resid_btd, self.editable(batch))
                yield run(edited, batch.mask_bt.to(edited.device))

    def _with_weights(self, edit: Edit) -> Iterator[torch.Tensor]:
        device = self.model.device
        with swapped(self.model, edit.weights):
            for batch in self.batches:
                yield self.model(input_ids=batch.ids_bt.to(device), attention_mask=batch.mask_bt.to(device)).logits

    def _losses(self, logits: Iterator[torch.Tensor]) -> torch.Tensor:
        """Summed next-token loss of every text, in nats."""
        losses = torch.zeros(len(self.texts), dtype=torch.float64)
        for batch, logits_btv in zip(self.reading, logits, strict=True):
            ids_bt = batch.ids_bt[:, 1:].to(logits_btv.device)
            loss_bt = torch.nn.functional.cross_entropy(
                logits_btv[:, :-1].float().transpose(1, 2), ids_bt, reduction="none"
            )
            total_b = (loss_bt * batch.mask_bt[:, 1:].to(loss_bt.device)).double().sum(1).cpu()
            losses[[x for x, _ in batch.rows]] = total_b
        return losses
