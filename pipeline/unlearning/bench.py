"""A bench: fixed probes and texts, answered again and again under different edits.

The residual stream at the edited layer is computed once; an edit of that stream then costs the layers above it only.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.corpus.targets import relations
from pipeline.language_model.answers import (
    ExamBatch,
    InputBatch,
    batches_by_length,
    look_up,
    pad_right,
    plan,
    score,
    tokenize,
)
from pipeline.language_model.hooks import capture, upper_layers
from pipeline.language_model.wide_head import Pass, Reweighted, moved, next_logprobs, pass_of
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.apply import rewrite, swapped
from pipeline.unlearning.edit import Edit

KEPT_BYTES = 1 << 30  # of log probabilities of the unedited model; none of a wide vocabulary's are kept
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
        self.unedited: dict[int, torch.Tensor] = {}  # number of a batch of texts -> log probabilities

    @torch.no_grad()
    def _residuals(self, batches: Sequence[InputBatch]) -> Iterator[torch.Tensor]:
        device = self.model.device
        for batch in batches:
            with capture(self.model, {"resid": (self.layer, "resid_post")}) as seen:
                self.model(input_ids=batch.ids_bt.to(device), attention_mask=batch.mask_bt.to(device))
            yield seen["resid"]

    def inputs(self, target: Sequence[str]) -> Iterator[tuple[InputBatch, torch.Tensor, list[str]]]:
        """Every batch with its residuals and, row by row, how its probe or text stands to the target."""
        of_probe, of_text = relations(self.probes, target), relations(self.texts, target)
        for i, (batch, resid_btd) in enumerate(zip(self.batches, self.resid, strict=True)):
            of_item = of_probe if i < len(self.exam) else of_text
            yield batch, resid_btd, [of_item[item] for item, _ in batch.rows]

    def editable(self, batch: InputBatch) -> torch.Tensor:
        """True where a token may be edited: neither ``<bos>`` nor padding."""
        return (batch.mask_bt.bool() & (batch.ids_bt != self.tokenizer.bos_token_id)).to(self.model.device)

    @torch.no_grad()
    def measure(self, edit: Edit) -> Outcome:
        """Answer everything under an edit."""
        if edit.weights:
            return self._outcome(self._with_weights(edit, self.batches))
        return self.replay(self._change(edit))

    @torch.no_grad()
    def replay(self, change: Change) -> Outcome:
        """Answer everything with ``change(resid_btd, editable_bt)`` in place of the residual stream."""
        return self._outcome(self._changed(change, self.batches))

    @torch.no_grad()
    def compare(self, edit: Edit) -> tuple[Outcome, torch.Tensor]:
        """Answer everything, and KL(unedited || edited) of the next token, summed over each text, [x] in nats."""
        loss_x, kl_x = torch.zeros(2, len(self.texts), dtype=torch.float64)
        for i, batch in enumerate(self.reading, start=len(self.exam)):
            texts = [x for x, _ in batch.rows]
            loss_x[texts], kl_x[texts] = self._moved(i, batch, edit)
        run = self._with_weights(edit, self.exam) if edit.weights else self._changed(self._change(edit), self.exam)
        with contextlib.closing(run) as passes:
            answers = score(self.questions, self.exam, map(look_up, passes, (batch.asked for batch in self.exam)))
        return Outcome(answers.cloze_q, answers.choice_q, loss_x), kl_x

    def _moved(self, number: int, batch: InputBatch, edit: Edit) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss under the edit and KL(unedited || edited) of a batch of texts, summed over each text; float64 [b]."""
        if not self._pass(batch).fits(batch.ids_bt.numel()):
            return self._moved_widely(number, batch, edit)
        before_btv, after_btv = self._unedited(number), self._edited(number, edit)
        loss_b = summed_loss(batch, after_btv)
        after_btv = after_btv[:, :-1].log_softmax(-1)
        kl_bt = torch.nn.functional.kl_div(after_btv, before_btv, log_target=True, reduction="none").sum(-1)
        return loss_b, (kl_bt * batch.mask_bt[:, 1:].to(kl_bt.device)).double().sum(1).cpu()

    def _moved_widely(self, number: int, batch: InputBatch, edit: Edit) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, a few tokens at a time; both models must be at hand for each of them, so no weights are swapped."""
        if edit.weights:
            on_device = {name: tensor.to(self.model.device) for name, tensor in edit.weights.items()}
            before = self._pass(batch)
            return _moved(batch, before, pass_of(Reweighted(self.model, on_device), *before.inputs))
        resid_btd = self.resid[number]
        with upper_layers(self.model, self.layer) as run:
            edited_btd = rewrite(edit, self.dictionary, resid_btd, self.editable(batch))
            return _moved(batch, self._above(run, batch, resid_btd), self._above(run, batch, edited_btd))

    def _change(self, edit: Edit) -> Change:
        return lambda resid_btd, editable_bt: rewrite(edit, self.dictionary, resid_btd, editable_bt)

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

    def _unedited(self, number: int) -> torch.Tensor:
        """Log probabilities [b, t - 1, v] of a batch of texts; kept for the next edit while they take little memory."""
        if number in self.unedited:
            return self.unedited[number]
        with upper_layers(self.model, self.layer) as run:
            logits_btv = run(self.resid[number], self.batches[number].mask_bt.to(self.model.device))
        logprobs_btv = logits_btv[:, :-1].float().log_softmax(-1)
        if sum(kept.nbytes for kept in self.unedited.values()) + logprobs_btv.nbytes <= KEPT_BYTES:
            self.unedited[number] = logprobs_btv
        return logprobs_btv

    def _edited(self, number: int, edit: Edit) -> torch.Tensor:
        """Logits [b, t, v] of a batch of texts under an edit, float32."""
        batch, resid_btd = self.batches[number], self.resid[number]
        if edit.weights:
            with swapped(self.model, edit.weights):
                return self._pass(batch).logits().float()
        with upper_layers(self.model, self.layer) as run:
            edited = rewrite(edit, self.dictionary, resid_btd, self.editable(batch))
            return run(edited, batch.mask_bt.to(edited.device)).float()

    def _outcome(self, passes: Iterator[Pass]) -> Outcome:
        with contextlib.closing(passes):
            answers = score(self.questions, self.exam, (look_up(next(passes), batch.asked) for batch in self.exam))
            losses = torch.zeros(len(self.texts), dtype=torch.float64)
            for batch, made in zip(self.reading, passes, strict=True):
                losses[[x for x, _ in batch.rows]] = loss_of(batch, made)
            return Outcome(answers.cloze_q, answers.choice_q, losses)

    def _changed(self, change: Change, batches: Sequence[InputBatch | ExamBatch]) -> Iterator[Pass]:
        """Passes over the batches, which are the first of all, with a changed stream; each is good until the next."""
        with upper_layers(self.model, self.layer) as run:
            for batch, resid_btd in zip(batches, self.resid, strict=False):
                yield self._above(run, batch, change(resid_btd, self.editable(batch)))

    def _with_weights(self, edit: Edit, batches: Sequence[InputBatch | ExamBatch]) -> Iterator[Pass]:
        """The same with the edit's weights in place."""
        with swapped(self.model, edit.weights):
            yield from map(self._pass, batches)

    def _pass(self, batch: InputBatch | ExamBatch) -> Pass:
        """The model as it is over a batch."""
        return pass_of(self.model, batch.ids_bt.to(self.model.device), batch.mask_bt.to(self.model.device))

    def _above(self, run: Callable[..., torch.Tensor], batch: InputBatch, resid_btd: torch.Tensor) -> Pass:
        """The upper layers over a batch's stream."""
        return Pass(self.model.get_output_embeddings(), run, (resid_btd, batch.mask_bt.to(resid_btd.device)))


def loss_of(batch: InputBatch, made: Pass) -> torch.Tensor:
    """Next-token loss of each row, summed over its tokens, in nats; float64 [b] on the CPU."""
    if made.fits(batch.ids_bt.numel()):
        return summed_loss(batch, made.logits().float())
    where_bt = _predicted(batch, made)
    return -next_logprobs(made, batch.ids_bt.to(where_bt.device), where_bt).double().sum(1).cpu()


def summed_loss(batch: InputBatch, logits_btv: torch.Tensor) -> torch.Tensor:
    """The same from logits."""
    next_bt = batch.ids_bt[:, 1:, None].to(logits_btv.device)
    logits_btv = logits_btv[:, :-1]
    loss_bt = logits_btv.logsumexp(-1) - logits_btv.gather(-1, next_bt).squeeze(-1)
    return (loss_bt * batch.mask_bt[:, 1:].to(loss_bt.device)).double().sum(1).cpu()


def _moved(batch: InputBatch, before: Pass, after: Pass) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss after, and KL(before || after), of each row, summed over its tokens; float64 [b] on the CPU."""
    where_bt = _predicted(batch, after)
    logprob_bt, kl_bt = moved(after, before, batch.ids_bt.to(where_bt.device), where_bt)
    return -logprob_bt.double().sum(1).cpu(), kl_bt.double().sum(1).cpu()


def _predicted(batch: InputBatch, made: Pass) -> torch.Tensor:
    """True [b, t - 1] where there is a next token."""
    return batch.mask_bt[:, 1:].bool().to(made.inputs[0].device)
