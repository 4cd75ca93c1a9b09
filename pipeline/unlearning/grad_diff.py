"""GradDiff with a KL anchor: gradient ascent on the target, the original model's answers everywhere else.

Loss = - min(CE(answers of the target), ln V) + w KL(original || model) on sibling, other and general inputs (Liu et
al. 2022; Maini et al. 2024). The ascent stops at ln V, the loss of knowing nothing: without that bound it runs away and
takes the siblings with it. All weights are trained; what is forgotten stays forgotten when every hook is gone.
Candidates are points on the straight line from the original weights to the trained ones: full strength avoids the true
answer, which gives it away as surely as knowing it, so dev chooses the strength that lands at chance.
"""

import copy
import math
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

PROBE_TOKENS = 16  # about the length of a probe with its answer
Example = tuple[list[int], int]  # tokens, and how many of the first ones are context (not trained on)


def choose(case: Case) -> Choice:
    """One training run; its checkpoints at several strengths are the candidates."""
    return sweep(case, _candidates(case))


def _candidates(case: Case) -> Iterator[Edit]:
    original = {name: tensor.detach() for name, tensor in case.train.model.named_parameters()}
    for step, trained in _checkpoints(case):
        for strength in case.settings.grad_diff.strengths:
            weights = {name: torch.lerp(original[name], tensor, strength) for name, tensor in trained.items()}
            edit = no_edit(case.level, case.target, case.layer)
            yield edit._replace(method="grad_diff", weights=weights, settings={"step": step, "strength": strength})


def _checkpoints(case: Case) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """The trained weights after every ``check_every`` steps and after the last one."""
    settings, bench = case.settings.grad_diff, case.train
    rng = np.random.default_rng(case.seed)
    forget, retain = examples(bench, case.target, "forget"), _retained(bench, case.target)
    model = copy.deepcopy(bench.model).requires_grad_(True)
    most = math.log(model.config.get_text_config().vocab_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    for step in range(1, settings.steps + 1):
        with torch.enable_grad():
            ascent = -answer_losses(model, _draw(forget, settings.forget_batch, rng), bench).clamp(max=most).mean()
            batch = [row for part in retain for row in _draw(part, settings.retain_batch, rng)]
            loss = ascent + settings.retain_weight * divergence(model, bench.model, batch, bench)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % settings.check_every == 0 or step == settings.steps:
            yield step, {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


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
    """Sibling and other examples, and general texts: one list each, drawn from in equal parts."""
    parts = [examples(bench, target, "sibling"), examples(bench, target, "other"), _documents(bench, target, "general")]
    return [part for part in parts if part]


def _draw(pool: list[Example], size: int, rng: np.random.Generator) -> list[Example]:
    """A random batch; a document stands for as many examples as it is longer than a probe."""
    longest = max(len(tokens) for tokens, _ in pool)
    size = min(len(pool), max(1, size * PROBE_TOKENS // max(longest, PROBE_TOKENS)))
    return [pool[i] for i in rng.choice(len(pool), size, replace=False)]


def answer_losses(model: PreTrainedModel, batch: list[Example], bench: Bench) -> torch.Tensor:
    """Next-token loss of every answer token in the batch, in nats."""
    ids_bt, mask_bt = pad_right([tokens for tokens, _ in batch], bench.tokenizer.pad_token_id)
    context_b = torch.tensor([n for _, n in batch])
    counted = (torch.arange(ids_bt.shape[1])[None, 1:] >= context_b[:, None]) & mask_bt[:, 1:].bool()
    device = model.device
    logits_btv = model(input_ids=ids_bt.to(device), attention_mask=mask_bt.to(device)).logits[:, :-1].float()
    return F.cross_entropy(logits_btv[counted.to(device)], ids_bt[:, 1:][counted].to(device), reduction="none")


def divergence(model: PreTrainedModel, original: PreTrainedModel, batch: list[Example], bench: Bench) -> torch.Tensor:
    """Mean KL(original || model) of the next-token distribution over all positions, in nats."""
    ids_bt, mask_bt = (t.to(model.device) for t in pad_right([t for t, _ in batch], bench.tokenizer.pad_token_id))
    with torch.no_grad():
        wanted = original(input_ids=ids_bt, attention_mask=mask_bt).logits.float().log_softmax(-1)
    got = model(input_ids=ids_bt, attention_mask=mask_bt).logits.float().log_softmax(-1)
    kl_bt = (wanted.exp() * (wanted - got)).sum(-1)
    return (kl_bt * mask_bt).sum() / mask_bt.sum()
