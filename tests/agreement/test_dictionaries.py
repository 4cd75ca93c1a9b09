"""Features and groups of two dictionaries on cases where the answer is known, against scipy and numpy."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage
from scipy.linalg import subspace_angles

from pipeline.__main__ import main
from pipeline.agreement.compare import compare_sides, feature_stability
from pipeline.agreement.crossing import Side, best_match, code_correlations, cross, decoder_cosines, moments_of, side
from pipeline.agreement.groups import basis, captured, group_stability, match_groups, overlap, stand_ins
from pipeline.agreement.sides import random_twin
from pipeline.codes.store import SparseCodes
from pipeline.codes.writer import CodesWriter
from pipeline.evaluation.coherence import by_rate
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import save_dictionary
from pipeline.tree.feature_tree import FeatureTree

N, S, D = 400, 12, 32


def codes_of(dense_ns: np.ndarray) -> SparseCodes:
    row, index = dense_ns.nonzero()
    indptr = np.searchsorted(row, np.arange(len(dense_ns) + 1))
    numbers = np.arange(len(dense_ns), dtype=np.int32)
    value = dense_ns[row, index].astype(np.float32)
    return SparseCodes(indptr, index.astype(np.uint16), value, *[numbers] * 4, dense_ns.shape[1])


def grouped_codes(seed: int) -> np.ndarray:
    """Four groups of three latents that fire together."""
    rng = np.random.default_rng(seed)
    together = np.repeat(rng.random((N, 4)) < 0.2, 3, axis=1)
    return together * (rng.random((N, S)) < 0.8) * rng.random((N, S))


def side_of(decoder_sd: np.ndarray, dense_ns: np.ndarray) -> Side:
    moments = moments_of(codes_of(dense_ns))
    distance = 1 - np.corrcoef(dense_ns.T)[np.triu_indices(S, 1)]
    return side(decoder_sd, moments, FeatureTree(linkage(np.clip(distance, 0, 2), "average"), np.arange(S)))


def groups_of_three() -> list[np.ndarray]:
    return [np.arange(3 * g, 3 * g + 3) for g in range(4)]


def test_code_correlations_are_numpys() -> None:
    one, two = grouped_codes(0).astype(np.float32), grouped_codes(1).astype(np.float32)
    one[:, 4] = 0  # a dead latent
    found = code_correlations(moments_of(codes_of(one)), moments_of(codes_of(two)))
    alive = np.delete(np.arange(S), 4)
    expected = np.corrcoef(one[:, alive].T, two.T)[: S - 1, S - 1 :]
    assert found[alive] == pytest.approx(expected, abs=1e-6)
    assert (found[4] == 0).all()


def test_the_match_is_the_best_of_all_permutations() -> None:
    score = np.array([[0.9, 0.8, 0.1], [0.85, 0.1, 0.2]])
    match = best_match(score, np.array([5, 7]), np.array([1, 2, 3]))
    assert match.pairs.tolist() == [[5, 2], [7, 1]], "taking 0.9 first would leave 0.2"
    assert match.score.tolist() == [0.8, 0.85]


def test_decoder_cosines_by_hand() -> None:
    assert decoder_cosines(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[-6.0, -8.0], [4.0, -3.0]])) == pytest.approx(
        np.array([[1.0, 0.0], [0.0, 0.0]])
    )


@pytest.mark.parametrize(("k", "other"), [(1, 1), (2, 3), (4, 2), (5, 5)])
def test_overlap_is_the_mean_squared_cosine_of_scipys_principal_angles(k: int, other: int) -> None:
    rng = np.random.default_rng(k)
    one, two = rng.normal(size=(k, D)), rng.normal(size=(other, D))
    angles = subspace_angles(one.T, two.T)
    assert overlap(basis(one), basis(two)) == pytest.approx(np.mean(np.cos(angles) ** 2))


def test_spans_by_hand() -> None:
    plane = basis(np.array([[1.0, 1, 0], [1, -1, 0], [2, 0, 0]]))
    assert len(plane) == 2, "the third row lies in the plane of the others"
    assert overlap(plane, basis(np.array([[0.0, 3, 0]]))) == pytest.approx(1)
    assert captured(np.array([[0.6, 0, 0.8]]), plane) == pytest.approx([0.36])


def test_a_dictionary_in_another_order_comes_back_whole() -> None:
    dense, decoder = grouped_codes(0), np.random.default_rng(0).normal(size=(S, D))
    order = np.random.default_rng(1).permutation(S)
    crossing = cross(side_of(decoder, dense), side_of(-2 * decoder[order], dense[:, order]))
    assert [order[j] for _, j in crossing.by_code.pairs] == list(range(S))
    features = feature_stability(crossing)
    directions = [features["pw_mcc"], features["cosine_by_code"]]
    assert directions == pytest.approx([1, 1]), "sign and length do not count"
    assert [features["code_correlation"], features["same_partner"]] == pytest.approx([1, 1])
    assert features["share_unstable"] == 0
    theirs = [np.flatnonzero(np.isin(order, group)) for group in groups_of_three()]
    found = group_stability(crossing, groups_of_three(), theirs[::-1], seed=0)
    assert (found.groups, found.mean_size, found.members, found.unstable_members) == (4, 3, S, 0)
    assert [found.correlation, found.overlap, found.captured, found.members_overlap] == pytest.approx([1] * 4)
    assert found.unstable_overlap is None


def test_rotated_features_are_lost_while_their_group_stays() -> None:
    """The second dictionary has, in each group's subspace, three other directions: a group's plane is reproducible."""
    dense, rng = grouped_codes(2), np.random.default_rng(3)
    decoder = np.linalg.qr(rng.normal(size=(D, S)))[0].T
    rotated = np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0] @ decoder[group] for group in groups_of_three()])
    crossing = cross(side_of(decoder, dense), side_of(rotated, dense))
    found = group_stability(crossing, groups_of_three(), groups_of_three(), seed=0)
    assert [found.overlap, found.captured] == pytest.approx([1, 1])
    assert found.members_overlap < 0.7
    assert found.unstable_members > 0
    assert found.unstable_captured == pytest.approx(1)
    assert found.unstable_captured_by_partner < 0.8, "as many random directions do not hold what the group holds"
    random = [stand_ins(part, groups_of_three(), seed=1) for part in (crossing.one, crossing.two)]
    assert group_stability(crossing, *random, seed=0).overlap < 0.8


def test_groups_are_matched_by_the_correlation_of_their_sums() -> None:
    one, two = grouped_codes(4).astype(np.float32), (grouped_codes(4) + grouped_codes(5)).astype(np.float32)
    decoder = np.eye(S, D)
    crossing = cross(side_of(decoder, one), side_of(decoder, two))
    backwards = groups_of_three()[::-1]
    match = match_groups(crossing, groups_of_three(), backwards)
    assert match.pairs[:, 1].tolist() == [3, 2, 1, 0]
    standard = [(codes - codes.mean(0)) / codes.std(0) for codes in (one, two)]
    for (i, j), score in zip(match.pairs, match.score, strict=True):
        sums = [standard[0][:, groups_of_three()[i]].sum(1), standard[1][:, backwards[j]].sum(1)]
        assert score == pytest.approx(np.corrcoef(*sums)[0, 1], abs=1e-5)


def test_stand_ins_are_as_large_and_as_busy() -> None:
    rate = np.concatenate([np.arange(100), np.zeros(5)])
    order, rng = by_rate(rate), np.random.default_rng(0)
    group = np.array([10, 11, 90])
    drawn = np.array([order.random_group(group, rate, rng) for _ in range(50)])
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert (rate[drawn] > 0).all()
    assert np.abs(np.sort(rate[drawn], axis=1) - rate[group]).max() <= 21
    everyone = order.random_group(np.arange(1, 100), rate, rng)
    assert sorted(everyone) == list(range(1, 100)), "a group of all live latents has one stand-in"


def test_a_random_twin_is_as_sparse() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(S, D, generator=generator), dim=1)
    acts = torch.randn(2000, D, generator=generator) + 1
    dictionary = Dictionary(rows.T, torch.zeros(S), rows, torch.ones(D), torch.full((S,), 0.8))
    twin = random_twin(dictionary, acts, seed=1)
    wanted, found = ((part.encode(acts) > 0).float().mean().item() for part in (dictionary, twin))
    assert found == pytest.approx(wanted, rel=0.01)
    assert twin.W_dec.norm(dim=1).tolist() == pytest.approx([1.0] * S, abs=1e-5)
    assert not torch.equal(twin.W_dec, random_twin(dictionary, acts, seed=2).W_dec)


def test_two_sides_give_every_measure_with_its_null() -> None:
    dense, decoder = grouped_codes(6), np.random.default_rng(7).normal(size=(S, D))
    one = side_of(decoder, dense)
    found = compare_sides(one, one, [0.2, 0.5], seed=0)
    assert found["features"]["pw_mcc"] == pytest.approx(1)
    assert found["trees"]["ari_level_2"] == 1 > found["trees_null"]["ari_level_2"]
    for level in found["levels"]:
        assert level["groups"]["groups"] == 4
        assert level["groups"]["correlation"] == pytest.approx(1) and level["random"]["correlation"] < 1


def test_the_command_compares_two_data_folders(root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    rng = np.random.default_rng(8)
    for name, tokens in (("a", 0), ("b", 0), ("c", 1)):
        codes = codes_of(grouped_codes(9))._replace(token_id=np.full(N, tokens, np.int32))
        rows = torch.from_numpy(rng.normal(size=(S, D))).float()
        save_dictionary(tmp_path / name / "data/sae", Dictionary(rows.T, torch.zeros(S), rows, torch.zeros(D)), {})
        with CodesWriter(tmp_path / name / "data/features.zarr", N, S, {}) as writer:
            writer.append(codes)
    monkeypatch.chdir(tmp_path / "a")
    shutil.copy(root / "params.yaml", "data")
    assert main(["agreement", "../b/data"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trained"]["features"]["code_correlation"] == pytest.approx(1), "the same codes"
    assert found["trained"]["features"]["pw_mcc"] < 0.7, "other directions"
    assert found["trained"]["trees"]["bakers_gamma"] == pytest.approx(1)
    for other, said in (("../c/data", "hold codes of different tokens"), ("../d", "../d holds no features.zarr")):
        assert main(["agreement", other]) == 1
        assert said in capsys.readouterr().err
