"""Do groups of latents come back in another dictionary, and do they hold what single latents lose?

A group comes back when its latents span the same directions, whatever their single directions are. Groups are matched
by the correlation of their summed codes, so that the overlap of their spans is not what matched them.
"""

from typing import NamedTuple

import numpy as np

from pipeline.agreement.crossing import Crossing, Match, Side, best_match, unit_rows
from pipeline.evaluation.coherence import by_rate

FLAT = 1e-6  # of the largest singular value: below it a direction is not there
UNSTABLE = 0.7  # |cosine| with the partner below which a latent has not come back

Groups = list[np.ndarray]


def basis(rows_kd: np.ndarray) -> np.ndarray:
    """Orthonormal rows with the same span; fewer than k where rows depend on each other, [r, d]."""
    _, size, directions = np.linalg.svd(rows_kd, full_matrices=False)
    return directions[size > FLAT * max(float(size.max(initial=0.0)), 1e-300)]


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Mean squared cosine of the principal angles of two spans given by their bases: |A B^T|^2 / min(r, r').

    1: the smaller one lies in the larger one. Random spans of r and r' in d dimensions have max(r, r') / d.
    """
    return float(np.square(one @ two.T).sum() / min(len(one), len(two)))


def captured(directions_kd: np.ndarray, span: np.ndarray) -> np.ndarray:
    """The share of each unit direction's squared length that lies in a span: |w P|^2, [k]."""
    return np.square(directions_kd @ span.T).sum(1)


class GroupStability(NamedTuple):
    """Means over the matched groups, then over their members in the first dictionary; None where there are none."""

    groups: int  # matched
    mean_size: float
    correlation: float  # of the matched groups' summed codes
    overlap: float  # of their decoder spans
    members: int
    members_correlation: float  # of the members' codes with those of their single partners
    members_overlap: float  # squared cosine of the members with their single partners
    captured: float  # share of a member's direction that the matched group spans
    captured_by_partner: float  # the same of its partner with random others, as many as the matched group has
    unstable_members: int  # |cosine| with the partner below UNSTABLE
    unstable_overlap: float | None  # the last measures over those alone
    unstable_captured: float | None
    unstable_captured_by_partner: float | None


class Member(NamedTuple):
    """One latent of a matched group, with its single partner by code."""

    correlation: float
    overlap: float
    captured: float
    captured_by_partner: float


def group_stability(crossing: Crossing, one: Groups, two: Groups, seed: int) -> GroupStability:
    """How far the groups of the first dictionary come back among those of the second, all of two latents or more."""
    rng = np.random.default_rng(seed)
    match = match_groups(crossing, one, two)
    directions = [unit_rows(part.decoder_sd) for part in (crossing.one, crossing.two)]
    spans = [(basis(directions[0][one[i]]), basis(directions[1][two[j]])) for i, j in match.pairs]
    members = [
        member
        for (i, j), (_, span) in zip(match.pairs, spans, strict=True)
        for member in _members(crossing, directions, one[i], span, two[j], rng)
    ]
    every = np.array(members).T
    lost = every[:, every[1] < UNSTABLE**2]
    return GroupStability(
        len(match.pairs),
        float(np.mean([len(one[i]) for i in match.pairs[:, 0]])),
        float(match.score.mean()),
        float(np.mean([overlap(*pair) for pair in spans])),
        every.shape[1],
        *every.mean(1).tolist(),
        lost.shape[1],
        *(lost[1:].mean(1).tolist() if lost.shape[1] else [None] * 3),
    )


def stand_ins(part: Side, groups: Groups, seed: int) -> Groups:
    """For every group a random one, as large and as busy, of latents that the tree has clustered."""
    rng = np.random.default_rng(seed)
    rate_s = np.where(np.isin(np.arange(len(part.rate_s)), part.tree.latents), part.rate_s, 0)
    order = by_rate(rate_s)
    return [order.random_group(group, rate_s, rng) for group in groups]


def match_groups(crossing: Crossing, one: Groups, two: Groups) -> Match:
    """Pairs of group numbers with the largest total correlation of their members' summed standardised codes.

    corr(sum_a z_a, sum_b z_b) = sum_ab r_ab / sqrt(sum_aa' r_aa' sum_bb' r_bb'), z standardised codes.
    """
    member_gs, member_ht = (_indicator(part, of) for part, of in ((crossing.one, one), (crossing.two, two)))
    between = member_gs @ crossing.correlation @ member_ht.T
    variance_g = np.einsum("gs,gs->g", member_gs @ crossing.one.within_ss, member_gs)
    variance_h = np.einsum("gs,gs->g", member_ht @ crossing.two.within_ss, member_ht)
    return best_match(between / np.sqrt(np.outer(variance_g, variance_h)), np.arange(len(one)), np.arange(len(two)))


def _members(
    crossing: Crossing,
    directions: list[np.ndarray],
    group: np.ndarray,
    span: np.ndarray,
    matched: np.ndarray,
    rng: np.random.Generator,
) -> list[Member]:
    partner_of, live = crossing.partner_of, np.flatnonzero(crossing.two.rate_s)
    inside = captured(directions[0][group], span)
    found = []
    for latent, share in zip(group.tolist(), inside.tolist(), strict=True):
        if latent not in partner_of:  # the other dictionary has fewer live latents
            continue
        partner = partner_of[latent]
        others = rng.choice(live, len(matched) - 1, replace=False)
        beside = captured(directions[0][[latent]], basis(directions[1][np.union1d(others, [partner])]))
        cosine = float(directions[0][latent] @ directions[1][partner])
        found.append(Member(float(crossing.correlation[latent, partner]), cosine**2, share, float(beside[0])))
    return found


def _indicator(part: Side, groups: Groups) -> np.ndarray:
    member_gs = np.zeros((len(groups), len(part.decoder_sd)))
    for number, group in enumerate(groups):
        member_gs[number, group] = 1
    return member_gs
