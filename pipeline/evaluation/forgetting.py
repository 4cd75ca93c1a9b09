"""What an edit forgot and what it broke, on the test split."""

import random
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipeline.core.files import contents, read_json
from pipeline.core.kept import Kept
from pipeline.core.progress import track
from pipeline.corpus.targets import relation, relations
from pipeline.evaluation.edits import open_edit
from pipeline.evaluation.kinds import RELATIONS, kind_figures
from pipeline.evaluation.statistics import Figures, ratio_error
from pipeline.unlearning.bench import Bench, Outcome
from pipeline.unlearning.damage import completes, lost
from pipeline.unlearning.edit import Edit, no_edit
from pipeline.unlearning.subject import Subject

SIBLINGS_COPYING = 200  # sentences that say a sibling's name, asked under every edit
GENERAL_LOGITS = 1 << 29  # of general text, read under every edit: 2,048 tokens of the widest vocabularies


class Exam(NamedTuple):
    """What is asked about one target, and how the unedited model answers."""

    bench: Bench
    before: Outcome


def open_exam(subject: Subject, target: tuple[str, ...], seed: int) -> Exam:
    """Test probes of everything, the target's in new templates too, names to copy, and general test texts.

    Of the siblings' names a draw is asked: a region has as many sentences of them as questions in all.
    """
    probes, texts = subject.split("test", "novel", "copying")
    near = {"test": RELATIONS, "novel": ("forget",), "copying": ("forget",)}
    copied = [p for p in probes if p["split"] == "copying" and relation(p["path"], target) == "sibling"]
    drawn = random.Random(seed).sample(copied, min(SIBLINGS_COPYING, len(copied)))
    kept = {p["id"] for p in drawn}
    asked = [p for p in probes if relation(p["path"], target) in near[p["split"]] or p["id"] in kept]
    general = [text for text in texts if relation(text["path"], target) == "general"]
    bench = subject.bench(asked, some_text(subject, general, GENERAL_LOGITS, seed))
    return Exam(bench, bench.measure(no_edit("", target, subject.layer)))


def some_text(subject: Subject, texts: list[dict], logits: int, seed: int) -> list[dict]:
    """The texts, or a draw of as many as have so many logits: the product with a wide vocabulary is what text costs."""
    return subject.some(texts, logits // subject.model.get_output_embeddings().weight.shape[0], seed)


def all_forgetting_figures(subject: Subject, unlearning: Path, seed: int, kept: Kept) -> dict[str, dict]:
    """``unlearning/<method>/<level>`` -> figures, for no edit at all and for every edit in the folder.

    Those that ``kept`` has of an edit are not made again.
    """
    figures = {}
    for level, target in subject.targets.items():
        exam = cache(partial(open_exam, subject, target, seed))  # which costs passes, and may not be needed
        unedited = partial(_of_nothing, exam, level, target, subject.layer, seed)
        figures[f"unlearning/none/{level}"] = kept.value(unedited, level, target)
        cells = sorted(path.parent for path in unlearning.glob(f"*/{level}/edit.json"))
        for cell in track(cells, f"evaluate edits of a {level}", len(cells), "edits"):
            name, edit = f"unlearning/{cell.parent.name}/{level}", open_edit(cell, subject, target)
            figures[name] = kept.value(partial(_of_cell, exam, edit, cell, seed), level, target, contents((cell,)))
    return figures


def _of_nothing(exam: Callable[[], Exam], level: str, target: tuple[str, ...], layer: int, seed: int) -> dict:
    return forgetting_figures(exam(), no_edit(level, target, layer), 0.0, seed)


def _of_cell(exam: Callable[[], Exam], edit: Edit, cell: Path, seed: int) -> dict:
    return forgetting_figures(exam(), edit, read_json(cell / "sweep.json")["seconds"], seed)


def forgetting_figures(exam: Exam, edit: Edit, seconds: float, seed: int) -> dict:
    """The figures of one method on one target.

    Drops are before minus after, in points of cloze accuracy (``lost`` says when of multiple choice). Probes in wholly
    new templates count apart (``novel_*``).
    ``seconds`` is what choosing the edit took.
    """
    bench, before = exam
    after, kl_x = bench.compare(edit)
    figures = Figures(seed)
    of_probe = np.array(relations(bench.probes, edit.target))
    split = np.array([probe["split"] for probe in bench.probes])
    forget, novel = (of_probe == "forget") & (split == "test"), (of_probe == "forget") & (split == "novel")
    _shares(figures, bench, after, forget, "forget")
    if novel.any():
        _shares(figures, bench, after, novel, "novel")
    stays_q = torch.from_numpy(of_probe != "forget")
    lost_q = lost(before, after, stays_q).numpy()
    if not completes(before, stays_q):
        figures.number("drops_of_choice", 1)
    for name in ("sibling", "other", "general"):
        chosen = np.flatnonzero((of_probe == name) & (split == "test"))
        if len(chosen):
            ids, facts = _names(bench, chosen)
            figures.mean(f"{name}_drop", ids, lost_q[chosen], facts, scale=100)
    kind_figures(figures, bench.probes, before.choice_q.numpy(), after.choice_q.numpy(), of_probe)
    _general_text(figures, exam, after, kl_x.numpy(), edit.target)
    by_sibling = drops_by_node(lost_q, bench.probes, edit.target, (of_probe == "sibling") & (split == "test"))
    if by_sibling:
        figures.number("worst_sibling_drop", 100 * max(by_sibling.values()))
    precision = sibling_precision(float(lost_q[forget].mean()), list(by_sibling.values()))
    if precision is not None:
        figures.number("sibling_precision", precision)
    touched = [i for i, batch in enumerate(bench.exam) if any(forget[q] for q, _ in batch.rows)]
    figures.number("edit_norm", float(np.mean(bench.edit_norm(edit, touched))))
    figures.number("latents", len(edit.latents))
    figures.number("groups", len(edit.groups))
    figures.number("seconds", seconds)
    return figures.as_dict()


def _names(bench: Bench, chosen: np.ndarray) -> tuple[list[str], list[str]]:
    return [bench.probes[i]["id"] for i in chosen], [bench.probes[i]["fact"] for i in chosen]


def _shares(figures: Figures, bench: Bench, after: Outcome, where: np.ndarray, name: str) -> None:
    chosen = np.flatnonzero(where)
    ids, facts = _names(bench, chosen)
    figures.mean(f"{name}_mcq", ids, after.choice_q.numpy()[chosen], facts)
    figures.mean(f"{name}_cloze", ids, after.cloze_q.numpy()[chosen], facts)


def _general_text(figures: Figures, exam: Exam, after: Outcome, kl_x: np.ndarray, target: tuple[str, ...]) -> None:
    """Perplexity of general text, after over before, and KL(before || after) of its tokens in nats."""
    bench, before = exam
    general = np.flatnonzero([name == "general" for name in relations(bench.texts, target)])
    if not len(general):
        return
    extra = (after.loss_x - before.loss_x).numpy()[general]
    tokens = bench.tokens_x.numpy()[general]
    names = [str(x) for x in general]
    stderr = ratio_error(extra, tokens, names, figures.seed, np.exp)
    figures.number("perplexity_ratio", np.exp(extra.sum() / tokens.sum()), stderr)
    kl = kl_x[general]
    figures.number("kl", kl.sum() / tokens.sum(), ratio_error(kl, tokens, names, figures.seed))


def drops_by_node(
    lost_q: np.ndarray, probes: Sequence[dict], target: Sequence[str], where: np.ndarray
) -> dict[tuple[str, ...], float]:
    """Mean drop, as a share, of every node of the target's level among the chosen probes."""
    nodes: dict[tuple[str, ...], list[float]] = {}
    for i in np.flatnonzero(where):
        nodes.setdefault(tuple(probes[i]["path"][: len(target)]), []).append(lost_q[i])
    return {node: float(np.mean(lost)) for node, lost in nodes.items()}


def sibling_precision(target: float, siblings: Sequence[float]) -> float | None:
    """``d_target / (d_target + mean over siblings of max(0, d_sibling))``, d the mean drop of a node.

    1: only the target lost anything; 0.5: its siblings lost as much. None when nothing was lost anywhere.
    """
    d_target = max(0.0, target)
    d_siblings = float(np.mean([max(0.0, drop) for drop in siblings])) if siblings else 0.0
    total = d_target + d_siblings
    return d_target / total if total > 0 else None
