"""The atlas study on passages with planted latents: what is there is found, and nothing is found in shuffled trees."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import average_precision_score

from pipeline.core.processes import MachineSettings
from pipeline.sae.settings import SAESettings
from pipeline.tree.feature_tree import save_tree
from studies.atlas import dictionaries
from studies.atlas.finding import finding_rows
from studies.atlas.passages import Passages, freed, half_a, principal, standardised
from studies.atlas.ranking import average_precisions, ranks
from studies.atlas.tables import chosen, finding, trees
from studies.atlas.trees import freed_tree, tree_rows
from tests.support.settings import recommended

COUNTRIES = [(f"region_{i // 2}", f"Country {i}") for i in range(8)]
EACH, LATENTS, OWN = 24, 60, 5  # passages of a country; latents in all, and of each country


@pytest.fixture(scope="module")
def passages() -> Passages:
    """Country i fires some of latents 5 i to 5 i + 4 and, with its neighbour, latent 40 + i // 2; the rest is noise."""
    rng = np.random.default_rng(0)
    rows = [
        {"text": f"passage {n} of {path[1]}" if n % 2 else f"passage {n} of place {path[1][-1]}", "path": list(path)}
        | {"kind": "page"}
        for path in COUNTRIES
        for n in range(EACH)
    ]
    rows += [
        {"text": f"article {n} {kind}", "path": [], "kind": kind} for kind in ("sports", "tech") for n in range(12)
    ]
    counts = rng.poisson(0.3, (len(rows), LATENTS)).astype(float)
    for x in range(len(COUNTRIES) * EACH):
        country = x // EACH
        own = rng.random(OWN) < 0.4
        counts[x, OWN * country : OWN * (country + 1)] += 6 * own
        counts[x, 40 + country // 2] += 4
    counts[len(COUNTRIES) * EACH :, 44:48] += 3
    counts *= rng.uniform(0.5, 2, (len(rows), 1)).round() + 1
    codes = sparse.csr_array(np.log1p(counts).astype(np.float32))
    return Passages(rows, half_a(rows), codes, sparse.csr_array(counts), counts @ rng.normal(size=(LATENTS, 16)))


def test_average_precision_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    score_xf, inside_x = rng.integers(0, 4, (40, 7)).astype(float), rng.random(40) < 0.3
    wanted = [average_precision_score(inside_x, score_x) for score_x in score_xf.T]
    assert average_precisions(ranks(score_xf), inside_x) == pytest.approx(wanted, abs=1e-6)


def test_halves_are_halves_of_every_place(passages) -> None:
    for level in passages.classes().values():
        for inside_x in level.values():
            assert abs(int((inside_x & passages.in_a).sum()) * 2 - int(inside_x.sum())) <= 2


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_components_are_taken_out(shape) -> None:
    rng = np.random.default_rng(2)
    form_xf = rng.normal(size=shape) + 20 * np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1]))
    centred_xf = form_xf - form_xf.mean(0)
    value_k, direction_kf = principal(centred_xf, 2)
    assert value_k == pytest.approx(np.linalg.svd(centred_xf)[1][:2])
    z_xf = standardised(form_xf, np.ones(len(form_xf), bool))
    first_f = principal(z_xf - z_xf.mean(0), 1)[1][0]
    left_xf = freed(z_xf, np.ones(len(form_xf), bool), 1)
    assert np.abs(z_xf @ first_f).std() > 1
    assert principal(left_xf - left_xf.mean(0), 1)[0][0] < 0.8 * principal(z_xf - z_xf.mean(0), 1)[0][0]
    assert np.linalg.norm(direction_kf, axis=1) == pytest.approx(1)


def test_nodes_hold_countries_and_shuffled_ones_do_not(passages, tmp_path) -> None:
    tree = freed_tree(passages, 1)
    for scale in ("token", "document"):
        save_tree(tmp_path / "dendrogram" / scale, tree)
    rows = list(tree_rows(passages, tmp_path, 0))
    country = [row for row in rows if row["tree"] == "freed" and row["level"] == "country"]
    node, shuffled = (np.mean([row[key] for row in country]) for key in ("node", "shuffled"))
    assert len(country) == len(COUNTRIES) and node > shuffled + 0.1
    assert "passages, ten components out" in trees({"rows": rows})


def test_two_passages_find_the_rest(passages, monkeypatch) -> None:
    monkeypatch.setattr("studies.atlas.finding.REMOVED", (0, 1))
    monkeypatch.setattr("studies.atlas.finding.DRAWS", 1)
    rows = list(finding_rows(passages, 0))
    best = {row["retriever"]: chosen(rows_of(rows, row["retriever"]), "country")[1].mean() for row in rows}
    assert best["latents"] > best["tfidf"] + 0.2
    assert {"residual", "nodes", "neighbours", "shuffled", "latents_nodes"} <= set(best)
    assert "`latents`" in finding({"rows": rows})


def rows_of(rows: list[dict], name: str) -> list[dict]:
    return [row for row in rows if row["retriever"] == name]


class Rows(SimpleNamespace):
    """As much of an activation store as training by SAELens needs."""

    def served(self, _store, batch_size: int, *_rest) -> Iterator[torch.Tensor]:
        while True:
            yield self.acts[torch.randint(len(self.acts), (batch_size,), generator=self.generator)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TransformerLens, as SAELens imports it
def test_a_dictionary_by_saelens_reads_the_rows_as_they_are(monkeypatch) -> None:
    """Its scale is folded in: on raw rows it keeps about k latents and explains what plain training explains."""
    generator = torch.Generator().manual_seed(0)
    acts = 50 * torch.randn(400, 3, generator=generator) @ torch.randn(3, 8, generator=generator) + 20
    rows = Rows(acts=acts, generator=generator, d_model=8, mean_norm=float(acts.norm(dim=1).mean()))
    monkeypatch.setattr(dictionaries, "ActivationLoader", rows.served)
    settings = recommended(SAESettings, d_sae=16, k=4, steps=300, batch_size=64, warm_up_steps=10, learning_rate=3e-3)
    dictionary = dictionaries.by_sae_lens(rows, settings, recommended(MachineSettings), 0)
    codes = dictionary.encode(acts)
    error = (acts - dictionary.decode(codes)).square().sum() / (acts - acts.mean(0)).square().sum()
    assert 2 < float((codes > 0).sum(1).float().mean()) < 7
    assert error < 0.2
