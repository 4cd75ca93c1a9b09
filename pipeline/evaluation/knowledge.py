"""What the unedited model knows, and how much of that survives the dictionary in its residual stream."""

from pathlib import Path

import numpy as np
import torch

from pipeline.core.files import read_json
from pipeline.evaluation.kinds import known_probes
from pipeline.evaluation.statistics import Figures, ratio_error
from pipeline.unlearning.bench import Bench, Outcome

OUTLYING = 100  # times the variance of the median dimension: such dimensions drown the others in a sum


def language_model_figures(bench: Bench, outcome: Outcome, model_dir: Path, seed: int) -> dict:
    """Held-out paraphrases, wholly new templates, general facts, perplexity of general text, tokens seen in training.

    A corpus without one of these lacks its figure.
    """
    figures = Figures(seed)
    for name, split, in_tree in (("heldout", "test", True), ("novel", "novel", True), ("general", "test", False)):
        chosen = [i for i, p in enumerate(bench.probes) if p["split"] == split and bool(p["path"]) == in_tree]
        if not chosen:
            continue
        ids = [bench.probes[i]["id"] for i in chosen]
        facts = [bench.probes[i]["fact"] for i in chosen]
        if name == "general":
            figures.mean("general_facts", ids, outcome.cloze_q[chosen].numpy(), facts)
        else:
            figures.mean(f"{name}_cloze", ids, outcome.cloze_q[chosen].numpy(), facts)
            figures.mean(f"{name}_mcq", ids, outcome.choice_q[chosen].numpy(), facts)
    general = np.flatnonzero([not text["path"] for text in bench.texts])
    if len(general):
        loss, tokens = outcome.loss_x.numpy()[general], bench.tokens_x.numpy()[general]
        error = ratio_error(loss, tokens, [str(x) for x in general], seed, np.exp)
        figures.number("perplexity", np.exp(loss.sum() / tokens.sum()), error)
    if (model_dir / "training.json").exists():
        figures.number("training_tokens", read_json(model_dir / "training.json")[-1]["tokens"])
    return figures.as_dict()


@torch.no_grad()
def reconstructed(bench: Bench) -> Outcome:
    """What the model does with its residual stream replaced by its reconstruction."""
    return bench.replay(
        lambda x, editable: torch.where(editable[..., None], bench.dictionary(x.float()).to(x.dtype), x)
    )


@torch.no_grad()
def sae_figures(bench: Bench, outcome: Outcome, fired_s: np.ndarray, seed: int) -> dict:
    """Reconstruction on test text and what it costs the model.

    explained_variance = 1 - sum |x - x^|^2 / sum |x - mean|^2: of all dimensions together, of each and then averaged
    (``_per_dimension``), and without those that vary ``OUTLYING`` times as much as the median one.
    ce_loss_recovered = (CE_zero - CE_spliced) / (CE_zero - CE_original), the residual stream zeroed, replaced by its
    reconstruction, or left alone (``<bos>`` always is). ``fired_s`` is the share of the store's tokens on which each
    latent fires: ``dead_share`` never do, ``dense_share`` on more than half. ``spliced_known_mcq`` is of known facts.
    """
    figures = Figures(seed)
    residual_nd = torch.cat(
        [r[bench.editable(b)] for b, r in zip(bench.reading, bench.resid[len(bench.exam) :], strict=True)]
    ).float()
    codes_ns = bench.dictionary.encode(residual_nd)
    error_nd = (residual_nd - bench.dictionary.decode(codes_ns)).double().square()
    spread_nd = (residual_nd - residual_nd.mean(0)).double().square()
    figures.number("explained_variance", 1 - (error_nd.sum() / spread_nd.sum()).item())
    error_d, spread_d = error_nd.sum(0), spread_nd.sum(0)
    ordinary_d = spread_d <= OUTLYING * spread_d.median()
    figures.number("explained_variance_per_dimension", (1 - error_d / spread_d)[spread_d > 0].mean().item())
    figures.number("outlying_dimensions", int((~ordinary_d).sum()))
    ordinary = error_d[ordinary_d].sum() / spread_d[ordinary_d].sum()
    figures.number("explained_variance_without_outlying", 1 - ordinary.item())
    figures.number("l0", (codes_ns > 0).sum(-1).double().mean().item())
    figures.number("dead_share", float((fired_s == 0).mean()))
    figures.number("dense_share", float((fired_s > 0.5).mean()))
    spliced = reconstructed(bench)
    zeroed = bench.replay(lambda x, editable: torch.where(editable[..., None], torch.zeros_like(x), x))
    gap = zeroed.loss_x - outcome.loss_x
    kept = zeroed.loss_x - spliced.loss_x
    texts = [str(x) for x in range(len(bench.texts))]
    stderr = ratio_error(kept.numpy(), gap.numpy(), texts, seed)
    figures.number("ce_loss_recovered", (kept.sum() / gap.sum()).item(), stderr)
    test = [i for i, p in enumerate(bench.probes) if p["split"] == "test" and p["path"]]
    ids, facts = [bench.probes[i]["id"] for i in test], [bench.probes[i]["fact"] for i in test]
    figures.mean("spliced_cloze", ids, spliced.cloze_q[test].numpy(), facts)
    known = known_probes(bench.probes, outcome.choice_q.numpy())
    asked = [i for i in test if known[i]]
    if asked:
        ids, facts = [bench.probes[i]["id"] for i in asked], [bench.probes[i]["fact"] for i in asked]
        figures.mean("known_mcq", ids, outcome.choice_q[asked].numpy(), facts)
        figures.mean("spliced_known_mcq", ids, spliced.choice_q[asked].numpy(), facts)
    return figures.as_dict()
