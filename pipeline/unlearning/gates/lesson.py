"""What gates learn from, rows of the train bench's stored residual stream, and what they minimise.

That is three ways of not knowing the target, and distance to the original elsewhere.

All forget terms are 0 where nothing is known, and in nats or a share of ln V:

    uniform   KL(uniform || the options' distribution): no option of a probe is preferred
    hinge     max(0, ln p(answer) - ln KNOWN): the answer is no longer probable, mean over its tokens
    entropy   1 - H / ln V of the first answer token: anything may come next
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from pipeline.corpus.targets import relations
from pipeline.language_model.answers import Question
from pipeline.language_model.hooks import upper_layers
from pipeline.language_model.wide_head import Pass, divergences_at, is_wide
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Case
from pipeline.unlearning.firing import RETAINED
from pipeline.unlearning.weights.losses import option_scores_in, option_scores_of

CHUNK = 64  # rows in one pass of the unedited model


class Row(NamedTuple):
    """One input without its padding."""

    resid_td: torch.Tensor
    editable_t: torch.Tensor


class Asked(NamedTuple):
    """A question about the target with the rows of its inputs."""

    question: Question
    rows: list[Row]


class Kept(NamedTuple):
    """An input whose predictions must stay: where they are compared, and what they were."""

    row: Row
    positions_p: torch.Tensor  # int64: a prompt's last position, all of a text's
    original_pv: torch.Tensor  # log-probabilities; of a wide vocabulary the states in front of the head, [p, d]


class Lesson(NamedTuple):
    questions: list[Asked]
    kept: dict[str, list[Kept]]  # relation -> inputs; those that there are


class Batch(NamedTuple):
    resid_btd: torch.Tensor
    mask_bt: torch.Tensor
    editable_bt: torch.Tensor


def together(rows: Sequence[Row]) -> Batch:
    """Rows as one batch, padded on the right."""
    mask_bt = pad_sequence([torch.ones_like(row.editable_t, dtype=torch.long) for row in rows], batch_first=True)
    resid_btd = pad_sequence([row.resid_td for row in rows], batch_first=True)
    return Batch(resid_btd, mask_bt, pad_sequence([row.editable_t for row in rows], batch_first=True))


def lesson_of(case: Case) -> Lesson:
    """The target's questions; prompts of siblings and others (their answers are to stay), and general texts."""
    bench = case.train
    rows = _rows(bench)
    of_probe = relations(bench.probes, case.target)
    kept = {}
    for relation in RETAINED:
        prompts = [
            (rows[q, 0], torch.tensor([bench.questions[q].n_prompt - 1]))
            for q, name in enumerate(of_probe)
            if name == relation
        ]
        pool = _texts(case) if relation == "general" else prompts
        if pool:
            kept[relation] = _with_original(case, pool)
    return Lesson(asked(bench, case.target, "forget"), kept)


def asked(bench: Bench, target: tuple[str, ...], wanted: str) -> list[Asked]:
    """The bench's questions of one relation to the target."""
    rows = _rows(bench)
    of_probe = relations(bench.probes, target)
    return [
        Asked(question, [rows[q, i] for i in range(len(question.inputs))])
        for q, (question, name) in enumerate(zip(bench.questions, of_probe, strict=True))
        if name == wanted
    ]


def _rows(bench: Bench) -> dict[tuple[int, int], Row]:
    """The row of every input of every question."""
    return {place: _row(bench, i, r) for i, batch in enumerate(bench.exam) for r, place in enumerate(batch.rows)}


def _row(bench: Bench, i: int, r: int) -> Row:
    length = int(bench.batches[i].mask_bt[r].sum())
    return Row(bench.resid[i][r, :length], bench.editable(bench.batches[i])[r, :length])


def _texts(case: Case) -> list[tuple[Row, torch.Tensor]]:
    bench = case.train
    of_text = relations(bench.texts, case.target)
    found = []
    for i, batch in enumerate(bench.reading, start=len(bench.exam)):
        for r, (x, _) in enumerate(batch.rows):
            if of_text[x] == "general":
                row = _row(bench, i, r)
                found.append((row, torch.arange(len(row.resid_td))))
    return found


@torch.no_grad()
def _with_original(case: Case, pool: list[tuple[Row, torch.Tensor]]) -> list[Kept]:
    """The unedited model's log-probabilities at the compared positions, computed once."""
    kept, head = [], case.train.model.get_output_embeddings()
    wide = is_wide(head, CHUNK * max(len(row.resid_td) for row, _ in pool))
    with upper_layers(case.train.model, case.layer) as run:
        for start in range(0, len(pool), CHUNK):
            part = pool[start : start + CHUNK]
            batch = together([row for row, _ in part])
            if wide:
                kept += _with_states(Pass(head, run, (batch.resid_btd, batch.mask_bt)), part)
                continue
            logits_btv = run(batch.resid_btd, batch.mask_bt)
            for (row, positions_p), logits_tv in zip(part, logits_btv, strict=True):
                kept.append(Kept(row, positions_p, logits_tv[positions_p].float().log_softmax(-1)))
    return kept


def _with_states(made: Pass, part: Sequence[tuple[Row, torch.Tensor]]) -> list[Kept]:
    """The same, short of the head."""
    sizes = [len(positions_p) for _, positions_p in part]
    row_n = torch.repeat_interleave(torch.arange(len(part)), torch.tensor(sizes))
    states_nd = made.states_at(row_n, torch.cat([positions_p for _, positions_p in part]))
    return [Kept(*one, states_pd) for one, states_pd in zip(part, states_nd.split(sizes), strict=True)]


KNOWN = 0.02  # probability up to which an answer counts as unknown: about one value of a pool


def forget_loss(logits_btv: torch.Tensor, questions: Sequence[Question], weights: Mapping[str, float]) -> torch.Tensor:
    """Weighted sum of the terms, each a mean over the questions; rows are the questions' inputs in their order."""
    return _forget_loss(option_scores_of(logits_btv, questions), lambda *at: logits_btv[at], questions, weights)


def forget_loss_in(made: Pass, questions: Sequence[Question], weights: Mapping[str, float]) -> torch.Tensor:
    """The same from a pass; over a wide vocabulary only what is asked for is computed."""
    if made.fits(made.inputs[1].numel()):
        return forget_loss(made.logits(), questions, weights)
    return _forget_loss(option_scores_in(made, questions), made.logits_at, questions, weights)


def _forget_loss(
    scores_qo: torch.Tensor,
    logits_at: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    questions: Sequence[Question],
    weights: Mapping[str, float],
) -> torch.Tensor:
    loss = torch.zeros((), device=scores_qo.device)
    if weights["uniform"]:
        loss = loss + weights["uniform"] * uniform(scores_qo)
    if weights["hinge"]:
        answer_q = scores_qo[range(len(questions)), [question.answer for question in questions]]
        loss = loss + weights["hinge"] * F.relu(answer_q - math.log(KNOWN)).mean()
    if weights["entropy"]:
        firsts = torch.tensor([row for row, _ in _first_rows(questions)])
        positions = torch.tensor([question.n_prompt - 1 for question in questions])
        loss = loss + weights["entropy"] * certainty(logits_at(firsts, positions))
    return loss


def uniform(scores_qo: torch.Tensor) -> torch.Tensor:
    """KL(uniform || softmax(scores)), mean over the questions."""
    return -scores_qo.log_softmax(1).mean() - math.log(scores_qo.shape[1])


def certainty(logits_qv: torch.Tensor) -> torch.Tensor:
    """1 - H / ln V, mean over the questions."""
    logprobs_qv = logits_qv.float().log_softmax(-1)
    entropy_q = -(logprobs_qv.exp() * logprobs_qv).sum(-1)
    return 1 - entropy_q.mean() / math.log(logits_qv.shape[-1])


def retained(logits_btv: torch.Tensor, kept: Sequence[Kept]) -> torch.Tensor:
    """KL(original || gated) at the compared positions, mean over all of them, in nats."""
    row = torch.cat([torch.full_like(k.positions_p, b) for b, k in enumerate(kept)])
    got_pv = logits_btv[row, torch.cat([k.positions_p for k in kept])].float().log_softmax(-1)
    return F.kl_div(got_pv, torch.cat([k.original_pv for k in kept]), reduction="batchmean", log_target=True)


def retained_in(made: Pass, kept: Sequence[Kept]) -> torch.Tensor:
    """The same from a pass; the head is the unedited model's."""
    if kept[0].original_pv.shape[1] == made.width:
        return retained(made.logits(), kept)
    row = torch.cat([torch.full_like(k.positions_p, b) for b, k in enumerate(kept)])
    wanted_pd = torch.cat([k.original_pv for k in kept])
    return divergences_at(made, made.logits_of, wanted_pd, row, torch.cat([k.positions_p for k in kept])).mean()


def _first_rows(questions: Sequence[Question]) -> list[tuple[int, Question]]:
    rows, at = [], 0
    for question in questions:
        rows.append((at, question))
        at += len(question.inputs)
    return rows
