"""Flat guard (in the manner of DSG, Muhamed et al. 2025): a detector decides when to edit, a wide clamp does the rest.

A logistic regression on the largest code of each latent so far tells the target's prompts from everything else; where
it fires, every latent that is more active on knowledge than on general text is clamped. It blocks and does not erase:
the report keeps it in a category of its own.
"""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.damage import relations
from pipeline.unlearning.edit import Edit, Guard, clamped


def choose(case: Case) -> Choice:
    """Sweep the multiplier; the guard's threshold comes from dev text that must stay."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamp behind the guard at every multiplier."""
    guard = fit_guard(case)
    knowing_s = sum(case.firing.rates(case.target, name) for name in ("forget", "sibling", "other"))
    factual = np.flatnonzero(knowing_s > 2 * case.firing.rates(case.target, "general"))
    groups, scale_s = [factual.tolist()], case.firing.scale(case.target)
    for multiplier in case.settings.guard_multipliers:
        edit = clamped("guard_flat", case.level, case.target, case.layer, groups, scale_s, multiplier, {})
        yield edit._replace(guard=guard)


def fit_guard(case: Case) -> Guard:
    """Fit on the ends of train inputs, then move the bias so that dev inputs to retain pass undisturbed.

    Inputs are prompts (prefixes, without the answer: a detector fitted on whole sentences misses prompts) and texts.
    """
    seen, labels = _features(case.train, case.target)
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    model.fit(seen.numpy(), labels)
    weight_s = torch.from_numpy(model.coef_[0]).float()
    dev, dev_labels = _features(case.dev, case.target)
    scores = (dev @ weight_s).numpy()
    bias = float(model.intercept_[0])
    highest_kept = float(np.quantile(scores[~dev_labels], case.settings.guard_quantile))
    return Guard(weight_s, min(bias, -highest_kept))


@torch.no_grad()
def _features(bench: Bench, target: tuple[str, ...]) -> tuple[torch.Tensor, np.ndarray]:
    """The largest code of each latent over each input, [n, s], and whether the input belongs to the target."""
    probe_labels = [name == "forget" for name in relations(bench.probes, target)]
    text_labels = [name == "forget" for name in relations(bench.texts, target)]
    rows, labels = [], []
    for i, (batch, resid_btd) in enumerate(zip(bench.batches, bench.resid, strict=True)):
        codes_bts = bench.dictionary.encode(resid_btd.float())
        rows.append(torch.where(bench.editable(batch)[..., None], codes_bts, 0.0).amax(1).cpu())
        source = probe_labels if i < len(bench.exam) else text_labels
        labels += [source[item] for item, _ in batch.rows]
    return torch.cat(rows), np.array(labels)
