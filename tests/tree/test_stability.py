"""The bootstrap: group sums add up to the whole, a weighted replicate is the correlation of repeated documents."""

import json

import numpy as np
import pytest
import zarr
from scipy.cluster.hierarchy import dendrogram

from pipeline.codes.store import SparseCodes
from pipeline.codes.writer import CodesWriter
from pipeline.core.yaml_text import as_yaml
from pipeline.params import resolve
from pipeline.tree import bootstrap
from pipeline.tree.bootstrap import group_of_document, group_sums, replicate
from pipeline.tree.correlation import computing, correlate, plan_for
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.feature_tree import FeatureTree, load_tree
from pipeline.tree.stability import CutStability, node_stability, plateaus, stability_of
from pipeline.tree.units import Source
from stages.build_dendrogram import main as build_dendrogram_stage
from stages.correlate import main as correlate_stage
from tests.support.settings import ROOT


def planted(n_documents=300, tokens=8, families=6, children=5, seed=0):
    """Every document has one family; each of its latents fires on a token with probability .3, others .01."""
    rng = np.random.default_rng(seed)
    document = np.repeat(np.arange(n_documents), tokens)
    family = rng.integers(families, size=n_documents)[document]
    latent_family = np.repeat(np.arange(families), children)
    fires = rng.random((len(document), families * children)) < np.where(family[:, None] == latent_family, 0.3, 0.01)
    return document, fires * rng.lognormal(size=fires.shape).astype(np.float32)


def written(path, document, dense):
    rows, index = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int64)
    tokens = [np.asarray(column, np.int32) for column in (document * 0, document, document, document * 0)]
    with CodesWriter(path, len(dense), dense.shape[1], {}) as writer:
        writer.append(SparseCodes(indptr, index.astype(np.uint16), dense[rows, index], *tokens, dense.shape[1]))
    return path


def correlated(path, scale):
    with computing("threads", 1, 100) as hands:
        source = Source(path, scale)
        return correlate(source, "pearson", None, 0.05, plan_for(source, 100, hands))


@pytest.mark.parametrize("scale", ["token", "document"])
def test_a_replicate_is_the_correlation_of_repeated_documents(tmp_path, monkeypatch, scale):
    monkeypatch.setattr(bootstrap, "SLAB_ENTRIES", 500)  # several slabs
    document, dense = planted()
    codes = written(tmp_path / "codes.zarr", document, dense)
    correlation = correlated(codes, scale)
    sums = group_sums(codes, correlation, np.ones(len(correlation.pairs.i), bool))
    np.testing.assert_array_equal(sums.n.sum(0), correlation.sums.n)
    np.testing.assert_array_equal(sums.n_ij.sum(1), correlation.pairs.n_ij)
    weights = np.random.default_rng(1).multinomial(bootstrap.GROUPS, np.full(20, 1 / 20))
    times = weights[group_of_document(np.arange(300))]
    rows = np.concatenate([np.flatnonzero(document == d) for d in np.repeat(np.arange(300), times)])
    repeated = written(tmp_path / "repeated.zarr", np.repeat(np.arange(times.sum()), 8), dense[rows])
    expected, found = correlated(repeated, scale), replicate(correlation, sums, weights)
    assert found.sums.n_units == expected.sums.n_units
    table = dict(zip(zip(found.pairs.i, found.pairs.j, strict=True), found.pairs.r, strict=True))
    pairs = zip(expected.pairs.i, expected.pairs.j, strict=True)
    np.testing.assert_allclose([table[pair] for pair in pairs], expected.pairs.r, atol=1e-6)


def test_planted_families_are_stable_and_shuffled_leaves_are_not(tmp_path):
    codes = written(tmp_path / "codes.zarr", *planted())
    correlation = correlated(codes, "document")
    tree = build_tree(correlation, 10)
    assert sorted(len(group) for group in tree.cut(0.3)) == [5] * 6
    found = stability_of(codes, correlation, tree, [0.3, 0.99], "average", 6, seed=0)
    families, singles = found.cuts
    assert families.ari == 1
    assert families.groups == 6
    assert abs(families.ari_null) < 0.2
    assert singles.groups == 0
    assert 0.8 < found.cophenetic_correlation <= 1
    family_node = [k for k, node in enumerate(tree.nodes()) if len(node.members) == 5]
    assert np.all(found.node[family_node] == 1)
    inner = [k for k, node in enumerate(tree.nodes()) if len(node.members) < 5]
    assert np.mean(found.node[inner]) < 0.95  # the order inside a family is chance
    assert any(families.correlation - 0.15 < correlation < 0.45 for correlation in found.plateaus)


def test_a_plateau_beats_a_spike_and_trivial_cuts_are_passed_over():
    agreement = [1.0, 0.5, 0.8, 0.8, 0.8, 0.5, 0.9, 0.3, 0.2, 1.0]
    groups = [1, 9, 9, 9, 9, 9, 9, 9, 9, 9]
    grouped = [100] * 9 + [5]
    rows = zip(agreement, groups, grouped, strict=True)
    curve = [CutStability(k / 10, g, n, ari, 0, 0) for k, (ari, g, n) in enumerate(rows)]
    assert plateaus(curve, 1, 100) == [0.3]


def test_node_overlap_by_hand():
    """((0 1) (2 3)) against ((0 1 2) 3): {0, 1} is inside; {2, 3} overlaps best with {0..3}."""
    mine = FeatureTree(np.array([[0, 1, 0.1, 2], [2, 3, 0.2, 2], [4, 5, 0.5, 4]]), np.arange(4))
    other = FeatureTree(np.array([[0, 1, 0.1, 2], [2, 4, 0.2, 3], [3, 5, 0.5, 4]]), np.arange(4))
    np.testing.assert_allclose(node_stability(mine, [other]), [1, 1 / 2, 1])


def test_documents_are_scattered_over_all_groups():
    group = group_of_document(np.arange(20_000))
    counts = np.bincount(group, minlength=20)
    assert counts.min() > 900
    assert counts.max() < 1100
    dealt_in_turn = np.bincount(group[::20], minlength=20)  # documents of one kind, every twentieth
    assert dealt_in_turn.max() < 100


def test_both_stages_on_a_small_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    written(tmp_path / "data/features.zarr", *planted())
    changes = {"correlation": {"dense": True}, "dendrogram": {"bootstraps": 3}}
    changes |= {"machine": {"correlation_memory_mib": 64}}
    params = resolve(ROOT / "params.yaml", tmp_path, None, [changes]).params
    (tmp_path / "data/params.yaml").write_text(as_yaml(params.plain()))
    assert "are 59 by token and 60 by document" in correlate_stage()
    said = capsys.readouterr().out
    assert "token: 2,400 units, 30 of 30 latents fire (0 dead" in said
    assert "document: 300 units" in said
    matrix = zarr.open_array("data/correlation.zarr/document/matrix", mode="r")[:]
    assert matrix.shape == (30, 30) and (matrix == matrix.T).all() and np.allclose(matrix.diagonal(), 1)
    assert "cuts have 6, 6, 6 groups, which agree with those of resampled documents by 1.00" in build_dendrogram_stage()
    folder = tmp_path / "data/dendrogram"
    linkage = np.load(folder / "linkage.npy")
    assert len(dendrogram(linkage, no_plot=True)["leaves"]) == 30
    np.testing.assert_array_equal(linkage, np.load(folder / "document/linkage.npy"))
    names = {path.name for path in (folder / "token").iterdir()}
    assert {"linkage.npy", "groups.json", "tree.json", "tree.nwk", "stability.json", "parents.json"} < names
    assert len(load_tree(folder / "token").latents) == 30
    assert json.loads((folder / "stability.json").read_text())["scale"] == "document"
