"""Flat rankings by hand: four latents on six texts, the target's being the first two."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from pipeline.unlearning.case import Case
from pipeline.unlearning.clamps import flat
from pipeline.unlearning.clamps.ways import Ranking, clamps, distinct_choices, ranked
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.settings import UnlearningSettings
from tests.support.cases import case_with
from tests.support.settings import recommended

TARGET = ("d", "t")
PATHS = [["d", "t"], ["d", "t"], ["d", "u"], ["e", "v"], [], []]
# tokens on which a latent fires: 0 the target's alone, 1 shared with the sibling, 2 with general text, 3 never here
FIRES = np.array([[4, 8, 2, 0], [2, 8, 2, 0], [0, 8, 0, 0], [0, 0, 0, 0], [0, 0, 6, 0], [0, 0, 6, 1.0]])
CODES = np.array([2.0, 1.0, 3.0, 1.0])  # where it fires
TOKENS = 10.0  # a text


def case(**changes) -> Case:
    firing = Firing([{"path": p} for p in PATHS], np.full(6, TOKENS), csr_array(FIRES), csr_array(FIRES * CODES))
    settings = recommended(UnlearningSettings, **({"latents": (1, 3), "multipliers": (2.0,)} | changes))
    return case_with(target=TARGET, firing=firing, settings=settings)


def chosen(edits) -> list[tuple[list[int], list[float]]]:
    return [(edit.latents.tolist(), edit.values.tolist()) for edit in edits]


def test_a_ranking_is_clamped_at_every_count_and_multiplier_once():
    rankings = [Ranking(np.array([2, 0]), {"a": 1}), Ranking(np.array([2]), {"a": 2}), Ranking(np.empty(0, int), {})]
    edits = list(clamps(case(multipliers=(0.0, 2.0)), rankings))
    assert chosen(edits) == [([2], [0.0]), ([2], [-6.0]), ([2, 0], [0.0, 0.0]), ([2, 0], [-6.0, -4.0])]
    assert edits[1].settings == {"a": 1, "n": 1, "multiplier": 2.0}, "the second ranking repeats the first's one latent"
    assert edits[2].groups == ((2,), (0,)), "a group of its own for every latent"
    assert all(not edit.factors.any() for edit in edits)


def test_counts_are_tried_from_the_smallest():
    (choice, more) = distinct_choices([ranked(np.array([1.0, 3.0, 2.0]), np.array([True, True, False]), {})], [9, 1])
    assert choice.latents.tolist() == [1]
    assert more.latents.tolist() == [1, 0], "there is no third"


def test_frequency_has_a_published_and_a_near_form():
    """Rates: forget .3 .8 .2 0, sibling 0 .8 0 0, general 0 0 .6 .05."""
    edits = list(flat.frequency(case(retain_rates=(0.1,), frequency_constants=(7.0,))))
    published = [edit for edit in edits if edit.settings["form"] == "published"]
    near = [edit for edit in edits if edit.settings["form"] == "near"]
    assert chosen(published) == [([1], [-7.0]), ([1, 0], [-7.0, -7.0])], "general text does not know the sibling"
    assert chosen(near) == [([0], [-4.0])], "the latent shared with the sibling is dropped; -2 times its own mean code"
    assert published[0].settings == {"form": "published", "retain_rate": 0.1, "n": 1, "multiplier": 7.0}


def test_log_odds_count_texts_against_the_nearest_neighbour():
    shares = flat.share_of_texts(case().firing, TARGET, "forget")
    assert shares.tolist() == pytest.approx([2.5 / 3, 2.5 / 3, 2.5 / 3, 0.5 / 3])
    absent = flat.share_of_texts(case().firing, ("d", "u", "x"), "forget")
    assert absent.tolist() == [0.0] * 4, "no such text"
    # the sibling's one text: (0 + .5) / 2 for latents 0 and 2, (1 + .5) / 2 for latent 1; general: 2.5 / 3 for latent 2
    (first, *_) = edits = list(flat.log_odds(case(text_shares=(0.5,))))
    assert chosen(edits) == [([0], [-4.0]), ([0, 1], [-4.0, -2.0])], "latent 2 fires on general text as often"
    assert first.settings == {"text_share": 0.5, "n": 1, "multiplier": 2.0}


def test_importance_squares_means_and_cuts_at_percentiles():
    forget, retain = np.array([4.0, 1.0, 9.0, 0.0]), np.array([1.0, 1.0, 9.0, 5.0])
    assert flat.important(forget, retain, 60.0).latents.tolist() == [0], "ratios 4, 1, 1"
    assert flat.important(forget, retain, 0.0).latents.tolist() == [2, 0], (
        "by importance; latent 1 is below the 5th percentile of importance, latent 3 is silent"
    )
    assert flat.important(np.zeros(2), np.ones(2), 95.0).latents.tolist() == []
    (edit,) = flat.importance(case(ratio_percentiles=(95.0,)))
    assert chosen([edit]) == [([0], [-4.0])], "silent on all text to retain: a huge ratio"


def test_difference_then_ratio():
    difference, forget, retain = (
        np.array([0.3, 0.2, 0.1, -0.1]),
        np.array([6.0, 2.0, 9.0, 9.0]),
        np.array([2.0, 1, 1, 1]),
    )
    assert flat.salient(difference, forget, retain, 2, 3.0).latents.tolist() == [0], "2 / 1 is below 3"
    assert flat.salient(difference, forget, retain, 3, 3.0).latents.tolist() == [0, 2]
    assert flat.salient(difference, forget, retain, 9, 0.0).latents.tolist() == [0, 1, 2], "no negative ones"
    assert chosen(flat.difference(case(magnitude_ratios=(3.0,)))) == [([0], [-4.0])]


def test_worth_is_what_the_target_gives_less_what_the_rest_pays():
    """Rates: forget .3 .8 .2 0, sibling 0 .8 0 0, general 0 0 .6 .05; so worth .3, 0, -.4, -.05."""
    edits = list(flat.worth(case(retain_weights=(1.0,))))
    assert chosen(edits) == [([0], [-4.0])], "no latent is taken that costs more than it gives"
    assert edits[0].settings == {"worth": "firing", "retain_weight": 1.0, "n": 1, "multiplier": 2.0}
    lenient = list(flat.worth(case(retain_weights=(0.5,), node_cost=0.5)))
    assert chosen(lenient) == [([1], [-2.0])], "latent 1 gives .4 of .7, latent 0 only .3"


def test_means_are_over_all_tokens():
    assert case().firing.means(TARGET, "forget").tolist() == pytest.approx([0.6, 0.8, 0.6, 0.0])
    assert torch.equal(case().firing.scale(TARGET), torch.tensor([2.0, 1.0, 3.0, 1.0]))
