"""Do nodes of the tree hold countries and regions, better than single latents and than the same tree shuffled?

For every country, region and class of articles the best node and the best latent are chosen by average precision on
half A of the passages and tested on half B. A node's score is the sum of its latents' z-scores. Beside a run's own two
trees (correlation of tokens, of documents) stands one of this study: correlation of passages, freed of the first
components, so that what a page is made of (climate, history, trade) does not drown what it is about.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tree.feature_tree import FeatureTree, load_tree
from pipeline.tree.linkage import linkage_of
from studies.atlas.passages import Passages, freed, standardised
from studies.atlas.ranking import average_precisions, ranks

SIZES = (2, 300)  # latents of a node
FEWEST = 10  # passages of half A in which a latent fires, to have a place in the study's own tree
COMPONENTS = 10
BLOCK = 1024  # rankings in memory at once


def tree_rows(passages: Passages, data: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A row for every tree, level and class: average precision on half B of what was best on half A."""
    trees = {scale: load_tree(data / "dendrogram" / scale) for scale in ("token", "document")}
    yield from rows_of(passages, trees | {"freed": freed_tree(passages, COMPONENTS)}, seed)


def rows_of(passages: Passages, trees: Mapping[str, FeatureTree], seed: int) -> Iterator[dict[str, Any]]:
    """The same for any trees of the passages' latents."""
    z_xs = standardised(passages.codes_xs.toarray(), passages.in_a)
    classes = passages.classes()
    single = _best(z_xs, passages, classes)
    for name, tree in trees.items():
        node = _best(_sums(z_xs, tree), passages, classes)
        shuffled = _best(_sums(z_xs, tree.shuffled(np.random.default_rng(seed))), passages, classes)
        for key, of_single in single.items():
            level, name_of_class = key
            yield {
                "tree": name,
                "level": level,
                "class": name_of_class,
                "chance": round(float(classes[level][name_of_class][~passages.in_a].mean()), 5),
                "single": round(of_single, 5),
                "node": round(node[key], 5),
                "shuffled": round(shuffled[key], 5),
            }


def freed_tree(passages: Passages, components: int) -> FeatureTree:
    """Average linkage of the correlation of Pearson residuals over half A, without their first components.

    The number n of a passage's tokens on which a latent fires becomes (n - e) / sqrt(e + e^2 / 100), where its length
    and the latent's rate predict e; columns are standardised and clipped at 8.
    """
    count_as = passages.fires_xs[passages.in_a].toarray()
    latents = np.flatnonzero((count_as > 0).sum(0) >= FEWEST)
    count_as = count_as[:, latents]
    expected_as = np.outer(count_as.sum(1), count_as.sum(0)) / count_as.sum()
    residual_as = (count_as - expected_as) / np.sqrt(expected_as + expected_as**2 / 100)
    z_as = np.clip((residual_as - residual_as.mean(0)) / residual_as.std(0), -8, 8)
    every = np.ones(len(z_as), bool)
    left_as = freed(z_as, every, components)
    left_as = (left_as - left_as.mean(0)) / left_as.std(0)
    r_ss = left_as.T @ left_as / len(left_as)
    return FeatureTree(linkage_of(1 - r_ss[np.triu_indices(len(latents), 1)], "average"), latents)


def _sums(z_xs: np.ndarray, tree: FeatureTree) -> np.ndarray:
    """z-scores summed over the latents of every node of a size that is asked for, [x, m]."""
    sizes = tree.sizes[tree.n_leaves :]
    kept = np.flatnonzero((sizes >= SIZES[0]) & (sizes <= SIZES[1]))
    return z_xs @ tree.membership(z_xs.shape[1])[:, kept]


def _best(
    score_xf: np.ndarray, passages: Passages, classes: dict[str, dict[str, np.ndarray]]
) -> dict[tuple[str, str], float]:
    """(level, class) -> average precision on half B of the column that is best on half A."""
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for start in range(0, score_xf.shape[1], BLOCK):
        block_xf = score_xf[:, start : start + BLOCK]
        rank_af, rank_bf = ranks(block_xf[passages.in_a]), ranks(block_xf[~passages.in_a])
        for level, members in classes.items():
            for name, inside_x in members.items():
                chosen_f = average_precisions(rank_af, inside_x[passages.in_a])
                f = int(chosen_f.argmax())
                if chosen_f[f] > best.get((level, name), (-1.0, 0.0))[0]:
                    tested = average_precisions(rank_bf[:, [f]], inside_x[~passages.in_a])
                    best[level, name] = float(chosen_f[f]), float(tested[0])
    return {key: tested for key, (_, tested) in best.items()}
