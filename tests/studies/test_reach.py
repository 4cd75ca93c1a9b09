"""Reach on a planted world: every entity has a latent of its own, and the cut puts those of a topic together."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse

from pipeline.unlearning.bench import Outcome
from pipeline.unlearning.case import Case
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.settings import UnlearningSettings
from studies.world import reach
from studies.world.reach import known_by_few, reach_cell, shuffled_cuts
from tests.support.settings import recommended

# Latent i is entity i's; latents 16 to 31 belong to nothing.
ENTITIES = [(d, f"{d}{t}", f"{d}{t}{e}") for d in "ab" for t in range(2) for e in range(4)]
TOPICS = [np.arange(first, first + 4) for first in range(0, 32, 4)]


class PlantedBench:
    """A model that forgets an entity as soon as its latent is edited."""

    model = tokenizer = dictionary = layer = None

    def __init__(self, model: None, tokenizer: None, dictionary: None, layer: None, probes: list, texts: list) -> None:
        self.probes, self.texts = probes, texts

    def measure(self, edit: object) -> Outcome:
        edited = set(edit.latents.tolist())
        known = [not probe["path"] or ENTITIES.index(tuple(probe["path"])) not in edited for probe in self.probes]
        cloze = torch.tensor(known, dtype=torch.float32)
        return Outcome(cloze, 0.25 + 0.75 * cloze, torch.zeros(0))


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    """Topic a0 is to be forgotten; a0, a1, b0 and b1 have four entities each, and all have texts and probes."""
    monkeypatch.setattr(reach, "Bench", PlantedBench)
    texts = [{"path": list(path)} for path in ENTITIES] + [{"path": []}]
    fires = sparse.csr_array(np.vstack([np.eye(16, 32), np.zeros((1, 32))]))
    firing = Firing(texts, np.full(17, 4.0), fires, fires)
    dev = PlantedBench(None, None, None, None, [{"path": list(path)} for path in ENTITIES] + [{"path": []}], [])
    documents = SimpleNamespace(rows=texts[:16], n_pool=0)
    settings = recommended(UnlearningSettings, multipliers=(1.0,))
    return Case(
        "topic", ("a", "a0"), 1, None, [TOPICS], firing, None, dev, None, settings, 0, documents
    )  # level_cut and flat_worth read no tree, and nothing reads the train bench


def test_what_few_examples_show_is_of_them_alone_and_the_rest_is_asked(case: Case) -> None:
    few = known_by_few(case, 2)
    seen, asked = ({tuple(item["path"]) for item in items} for items in (few.firing.texts, few.dev.probes))
    assert seen == {path for path in ENTITIES if path[2][2] in "01"} | {()}
    assert asked == {path for path in ENTITIES if path[2][2] in "23"} | {()}
    assert few.firing.rates(("a", "a0"), "forget").tolist() == [0.125, 0.125] + [0.0] * 30
    assert few.before.cloze_q.tolist() == [1.0] * 9


def test_a_group_reaches_what_its_latents_do_not_show_and_single_latents_do_not(case: Case) -> None:
    assert reach_cell(case, "level_cut", 2)["means"]["area"] == 0, "the rest of the topic goes, for nothing"
    assert reach_cell(case, "flat_worth", 2)["means"]["area"] == 1, "the other entities are untouched"
    assert reach_cell(case, "level_cut_shuffled", 2)["means"]["area"] > 0.2


def test_shuffled_cuts_have_groups_of_the_same_sizes_nested_as_before() -> None:
    cuts = [[np.array([0, 1, 2]), np.array([5, 7])], [np.array([0, 2]), np.array([1]), np.array([5, 7])]]
    shuffled = shuffled_cuts(cuts, 3)
    assert [[len(group) for group in groups] for groups in shuffled] == [[3, 2], [2, 1, 2]]
    assert set(shuffled[0][0]) == {*shuffled[1][0], *shuffled[1][1]} and set(shuffled[0][1]) == set(shuffled[1][2])
    assert sorted(np.concatenate(shuffled[0])) == [0, 1, 2, 5, 7] and set(shuffled[0][0]) != {0, 1, 2}
