"""GradDiff with a KL anchor: gradient ascent on the target, the original model's answers everywhere else.

Loss = - CE(answers of the target) + w KL(original || model) on sibling, other and general inputs (Liu et al. 2022;
Maini et al. 2024). All weights are trained; what is forgotten stays forgotten when every hook is gone. Training is
stopped where the dev objective was best, which keeps the target near chance instead of below it.
"""

import copy
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from pipeline.language_model.answers import pad_right
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.damage import relations
from pipeline.unlearning.edit import Edit, no_edit

Example = tuple[list[int], int]  # tokens, and how many of the first ones are context (not trained on)


def choose(case: Case) -> Choice:
    """One training run; the checkpoints are the candidates."""
    return sweep(case, _checkpoints(case))


def _checkpoints(case: Case) -> Iterator[Edit]:
    settings, bench = case.settings.grad_diff, case.train
    rng = np.random.default_rng(case.seed)
    forget, retain = examples(bench, case.target, "forget"), _retained(bench, case.target)
    model = copy.deepcopy(bench.model).requires_grad_(True)
    original = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    for step in range(1, settings.steps + 1):
        with torch.enable_grad():
            ascent = -answer_loss(model, _draw(forget, settings.forget_batch, rng), bench)
            anchor = divergence(model, bench.model, _draw(retain, settings.retain_batch, rng), bench)
            loss = ascent + settings.retain_weight * anchor
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % settings.check_every == 0 or step == settings.steps:
            changed = {n: t.detach().clone() for n, t in model.named_parameters() if not torch.equal(t, original[n])}
            edit = no_edit(case.level, case.target, case.layer)
            yield edit._replace(method="grad_diff", weights=changed, settings={"step": step})


def examples(bench: Bench, target: tuple[str, ...], wanted: str) -> list[Example]:
    """Probes with their answers; where a relation has none, its texts, every token of which counts."""
    probes = [
        probe for probe, name in zip(bench.probes, relations(bench.probes, target), strict=True) if name == wanted
    ]
    if probes:
        prompts = bench.tokenizer([probe["prompt"] for probe in probes])["input_ids"]
        answers = bench.tokenizer([" " + p["answer"] for p in probes], add_special_tokens=False)["input_ids"]
        return [(prompt + answer, len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    return _documents(bench, target, wanted)


def _documents(bench: Bench, target: tuple[str, ...], wanted: str) -> list[Example]:
    of_text = relations(bench.texts, target)
    found: list[Example] = []
    for batch in bench.reading:
        for (x, _), ids, mask in zip(batch.rows, batch.ids_bt, batch.mask_bt, strict=True):
            if of_text[x] == wanted:
                found.append((ids[: int(mask.sum())].tolist(), 1))
    return found


def _retained(bench: Bench, target: tuple[str, ...]) -> list[list[Example]]:
    """Sibling, other and general examples, one list each; batches draw from them in equal parts."""
    parts = [examples(bench, target, "sibling"), examples(bench, target, "other"), _documents(bench, target, "general")]
    return [part for part in parts if part]


def _draw(pool: list, size: int, rng: np.random.Generator) -> list[Example]:
    """A random batch from one list of examples, or in equal parts from several."""
    parts = pool if isinstance(pool[0], list) else [pool]
    share = max(1, size // len(parts))
    return [part[i] for part in parts for i in rng.choice(len(part), min(share, len(part)), replace=False)]


def answer_loss(model: PreTrainedModel, batch: list[Example], bench: Bench) -> torch.Tensor:
    """Mean next-token loss over the answers, in nats."""
    ids_bt, mask_bt = pad_right([tokens for tokens, _ in batch], bench.tokenizer.pad_token_id)
    context_b = torch.tensor([n for _, n in batch])
    counted = (torch.arange(ids_bt.shape[1])[None, 1:] >= context_b[:, None]) & mask_bt[:, 1:].bool()
    device = model.device
    logits_btv = model(input_ids=ids_bt.to(device), attention_mask=mask_bt.to(device)).logits[:, :-1].float()
    targets_bt = ids_bt[:, 1:].masked_fill(~counted, -100).to(device)
    return F.cross_entropy(logits_btv.flatten(0, 1), targets_bt.flatten(), ignore_index=-100)


def divergence(model: PreTrainedModel, original: PreTrainedModel, batch: list[Example], bench: Bench) -> torch.Tensor:
    """Mean KL(original || model) of the next-token distribution over all positions, in nats."""
    ids_bt, mask_bt = (t.to(model.device) for t in pad_right([t for t, _ in batch], bench.tokenizer.pad_token_id))
    with torch.no_grad():
        wanted = original(input_ids=ids_bt, attention_mask=mask_bt).logits.float().log_softmax(-1)
    got = model(input_ids=ids_bt, attention_mask=mask_bt).logits.float().log_softmax(-1)
    kl_bt = (wanted.exp() * (wanted - got)).sum(-1)
    return (kl_bt * mask_bt).sum() / mask_bt.sum()
