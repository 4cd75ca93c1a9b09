"""Methods: the antichain against brute force, shrinkage and damage by hand, selection on a planted target."""

import itertools
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage

from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.bench import Outcome
from pipeline.unlearning.case import Candidates, Case, Look, NothingPasses, draw, sweep
from pipeline.unlearning.clamps.subtree import best_antichains
from pipeline.unlearning.clamps.worth import share_of_worth, shrink
from pipeline.unlearning.damage import Damage, damage
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.methods import METHODS
from tests.support.cases import case_with

# ((0 1) 2) (3 4): leaf numbers are latent ids
TREE = FeatureTree(
    np.array([[0, 1, 0.1, 2], [3, 4, 0.2, 2], [5, 2, 0.3, 3], [7, 6, 0.9, 5]], dtype=np.float64), np.arange(5)
)


def brute_force(tree: FeatureTree, worth: np.ndarray, cost: float, budget: int) -> float:
    """The best value over all sets of disjoint nodes with at most ``budget`` latents."""
    nodes = [frozenset([int(latent)]) for latent in tree.latents]
    nodes += [frozenset(map(int, node.members)) for node in tree.nodes()]
    best = 0.0
    for size in range(1, len(tree.latents) + 1):
        for chosen in itertools.combinations(nodes, size):
            union = frozenset().union(*chosen)
            if len(union) == sum(map(len, chosen)) <= budget:
                best = max(best, sum(worth[list(node)].sum() - cost for node in chosen))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_antichain_is_the_best_one(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(6, 2))
    tree = FeatureTree(linkage(points, "average"), rng.permutation(6))
    worth = rng.normal(0.3, 1.0, size=6)
    for cost in (0.0, 0.2, 1.0):
        for budget, groups in zip((1, 3, 6), best_antichains(tree, worth, cost, [1, 3, 6]), strict=True):
            latents = [latent for group in groups for latent in group]
            assert len(latents) == len(set(latents)) <= budget
            value = sum(worth[group].sum() - cost for group in groups)
            assert value == pytest.approx(brute_force(tree, worth, cost, budget))


@pytest.mark.parametrize(
    ("worth", "cost", "groups"),
    [
        ([1, 1, 1, -9, -9], 0.5, [[0, 1, 2]]),  # one node is cheaper than three
        ([1, 1, -9, -9, 1], 0.5, [[0, 1], [4]]),  # a node and a lone leaf
        ([1, -0.2, 1, 1, 1], 0.5, [[0, 1, 2, 3, 4]]),  # a poor member is cheaper than another node
        ([-1, -1, -1, -1, -1], 0.0, []),  # nothing is worth taking
    ],
)
def test_a_node_is_taken_whole_when_that_is_cheaper(worth, cost, groups):
    (found,) = best_antichains(TREE, np.array(worth, float), cost, [5])
    assert sorted(map(sorted, found)) == groups


def test_rates_shrink_toward_the_parent_group_by_tokens():
    rate = np.array([1.0, 0.0, 0.5, 0.0, 0.0])
    shrunk = shrink(TREE, rate, tokens=30, prior_tokens=10)
    # leaf 0: 30 tokens of its own 1.0 and 10 of its pair's mean 0.5; leaf 2's parent is the group of three
    assert shrunk[:3].tolist() == pytest.approx(
        [(30 * 1.0 + 10 * 0.5) / 40, (10 * 0.5) / 40, (30 * 0.5 + 10 * 0.5) / 40]
    )
    assert np.array_equal(shrink(TREE, rate, tokens=30, prior_tokens=0), rate)


class StubBench:
    """The parts of a bench that ``damage`` reads."""

    probes = [  # noqa: RUF012
        {"path": ["d", "t", "a"]},
        {"path": ["d", "t", "b"]},
        {"path": ["d", "u", "c"]},
        {"path": ["e", "v", "d"]},
        {"path": []},
    ]
    texts = [{"path": []}, {"path": ["d", "t"]}]  # noqa: RUF012
    tokens_x = torch.tensor([10.0, 10.0])


def test_damage_by_hand():
    before = Outcome(torch.ones(5), torch.ones(5), torch.tensor([10.0, 10.0]))
    after = Outcome(
        torch.tensor([0.0, 1.0, 0.5, 1.0, 1.0]), torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]), torch.tensor([11.0, 50.0])
    )
    result = damage(StubBench, ("d", "t"), before, after)
    assert result == Damage(0.5, 0.5, 2, 50.0, 0.0, 0.0, None, pytest.approx(np.exp(0.1)))


@pytest.mark.parametrize(
    ("result", "objective"),
    [
        (Damage(0.25, 0.0, 75, 0.0, 0.0, 0.0, None, 1.0), 0.0),  # at chance, nothing broken
        (Damage(0.29, 0.05, 75, -5.0, 0.0, None, None, None), 0.0),  # within the margins; a gain elsewhere is no merit
        (Damage(1.0, 1.0, 75, 0.0, 0.0, 0.0, None, 1.0), 0.95 + 1.4),  # nothing forgotten
        (Damage(0.0, 0.0, 75, 0.0, 0.0, 0.0, 0.0, 1.0), 0.4),  # the answer is avoided: that tells it too
        (Damage(0.1, 0.0, 8, 0.0, 0.0, 0.0, None, 1.0), 0.0),  # of eight probes one right is what guessing gives
        (Damage(0.25, 0.0, 75, 30.0, 10.0, 0.0, 5.0, 1.1), 0.3 + 0.1),  # the worst harm and fluency pay
        (Damage(0.25, 0.0, 75, 0.0, 0.0, 0.0, 75.0, 1.0), 0.75),  # the name is no longer repeated where it is said
    ],
)
def test_the_objective_punishes_remains_avoidance_and_harm(result, objective):
    assert result.objective == pytest.approx(objective)


def test_firing_rates_by_relation():
    from scipy.sparse import csr_array

    texts = [{"path": ["d", "t"]}, {"path": ["d", "u"]}, {"path": []}]
    firing = Firing(
        texts,
        np.array([10.0, 20.0, 40.0]),
        csr_array(np.array([[5.0, 0.0], [2.0, 10.0], [4.0, 0.0]])),
        csr_array(np.array([[10.0, 0.0], [2.0, 30.0], [4.0, 0.0]])),
    )
    assert firing.rates(("d", "t"), "forget").tolist() == [0.5, 0.0]
    assert firing.rates(("d", "t"), "other").tolist() == [0.0, 0.0], "there is no such text"
    assert firing.retain_rates(("d", "t")).tolist() == [0.1, 0.5]
    assert firing.scale(("d", "t")).tolist() == [2.0, 3.0], "where it never fires on the target: its mean anywhere"


def test_a_draw_keeps_every_relation_and_is_repeatable():
    items = [{"path": ["d", "t"]}] * 5 + [{"path": ["d", "u"]}] * 50 + [{"path": []}] * 3
    numbered = [item | {"id": i} for i, item in enumerate(items)]
    drawn = draw(numbered, ("d", "t"), 4, seed=0)
    counts = [sum(item["path"] == path for item in drawn) for path in (["d", "t"], ["d", "u"], [])]
    assert counts == [4, 4, 3]
    assert drawn == draw(numbered, ("d", "t"), 4, seed=0)
    assert drawn != draw(numbered, ("d", "t"), 4, seed=1)


def of_table(monkeypatch: pytest.MonkeyPatch, candidates) -> None:
    """Let the method ``subtree`` stand for a generator of the test's own."""
    monkeypatch.setitem(METHODS, "subtree", SimpleNamespace(candidates=candidates, listens=False))


def one_probe_case(**parts) -> Case:
    """A case whose dev bench has one probe, of the target, which every edit leaves known."""
    known = Outcome(torch.ones(1), torch.ones(1), torch.zeros(0))
    bench = SimpleNamespace(measure=lambda edit: known, probes=[{"path": ["d", "t"]}], texts=[])
    return case_with(dev=bench, before=known, **parts)


def test_a_choice_that_others_build_on_is_made_once_a_tree(monkeypatch):
    swept = []

    def candidates(case: Case) -> Candidates:
        swept.append(case.tree)
        yield case.untouched()

    of_table(monkeypatch, candidates)
    case = one_probe_case(tree=TREE, choices={})
    other = case._replace(tree=TREE.shuffled(np.random.default_rng(0)))
    assert case.once("subtree") is case.once("subtree") is not other.once("subtree")
    assert swept == [case.tree, other.tree]
    forgetful = case._replace(choices=None)
    assert forgetful.once("subtree") is not forgetful.once("subtree"), "nothing remembered"


def test_a_candidate_is_told_what_the_last_one_did():
    told = []

    def candidates(case: Case) -> Candidates:
        told.append((yield case.untouched()).forget_choice)
        told.append((yield case.untouched()._replace(settings={"second": True})).forget_choice)

    choice = sweep(one_probe_case(), candidates(case_with()), "mine")
    assert told == [1.0, 1.0] and len(choice.sweep) == 2
    assert (choice.edit.method, choice.edit.settings) == ("mine", {}), "the first wins a tie"


def test_candidates_are_halved_until_all_of_dev_is_asked(monkeypatch):
    """Objectives 0 to 7 at every look but the first, which has the best one among the better half all the same."""
    looks = (Look(5, None, None), Look(10, None, None))
    asked: list[tuple[int, int | None]] = []

    def judge(self: Case, edit: Edit, look: Look | None = None) -> Damage:
        asked.append((edit.settings["i"], look and look.dev_probes))
        lost = edit.settings["i"] if look is not looks[0] else edit.settings["i"] % 4
        return Damage(0.25, 0.05, 75, float(lost), None, None, None, None)

    monkeypatch.setattr(Case, "judge", judge)
    case = case_with(looks=looks)
    every = [case.untouched()._replace(settings={"i": i}) for i in range(8)]
    choice = sweep(case, (edit for edit in every), "subtree")
    assert [i for i, probes in asked if probes == 5] == list(range(8))
    assert {i for i, probes in asked if probes == 10} == {0, 1, 4, 5}
    assert [i for i, probes in asked if probes is None] == [0, 1] == [row["i"] for row in choice.sweep]
    assert choice.edit.settings == {"i": 0}
    assert [(row["i"], row["dev_probes"]) for row in choice.dropped] == [
        (2, 5),
        (6, 5),
        (3, 5),
        (7, 5),
        (4, 10),
        (5, 10),
    ]
    asked.clear()
    weights = [edit._replace(weights={"w": torch.zeros(1)}) for edit in every[:2]]
    assert len(sweep(case, (edit for edit in weights), "npo").sweep) == 2
    sweep(case, (edit for edit in every[:2]), "subtree_ablated")
    assert {probes for _, probes in asked} == {None}, "few and large; or the next one depends on the last one's damage"


def test_a_method_that_finds_nothing_leaves_the_model_as_it_is(monkeypatch):
    of_table(monkeypatch, lambda case: (edit for edit in ()))
    case = one_probe_case()
    with pytest.raises(NothingPasses, match="no latent passes the thresholds for d / t"):
        case.once("subtree")
    choice = case.choose("subtree")
    assert (choice.edit.method, len(choice.edit.latents), choice.edit.weights) == ("subtree", 0, {})
    assert choice.edit.settings == {"nothing": "no latent passes the thresholds for d / t"}
    assert choice.sweep[0]["forget_choice"] == 1.0, "and is judged as what it is"


def test_every_method_of_the_table_has_its_generator():
    for method in METHODS.values():
        assert callable(getattr(import_module(method.home), method.generator)), method.name


def test_worth_is_a_share_of_what_is_worth_taking():
    gain = {"forget": [4.0, 2.0, 1.0], "sibling": [0.0, 1.0, 3.0], "other": [1.0, 0.0, 0.0], "general": [0.0, 0.0, 0.0]}
    gain = {name: np.array(values) for name, values in gain.items()}
    assert share_of_worth(gain, 1.0, 1.0).tolist() == [0.75, 0.25, -0.5], "3, 1 and -2 of 4"
    assert share_of_worth(gain, 1.0, 2.0).tolist() == [1.0, 0.0, -5 / 3], "siblings count twice"
    assert share_of_worth(gain, 9.0, 1.0).max() <= 0, "nothing is worth taking, and nothing is divided by 0"
