"""The atlas study on passages with planted latents: what is there is found, and nothing is found in shuffled trees."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import average_precision_score

from pipeline.core.processes import MachineSettings
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.settings import SAESettings
from pipeline.tree.feature_tree import save_tree
from studies.atlas import dictionaries
from studies.atlas.countries import asked, first_of_regions, known_best
from studies.atlas.country_tables import by_country, countries, erasure
from studies.atlas.finding import finding_rows
from studies.atlas.passages import Passages, freed, half_a, principal, standardised
from studies.atlas.ranking import average_precisions, ranks
from studies.atlas.seeds import read_by
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


def question(path: list[str], fact: str, number: int, split: str = "test", kind: str = "named") -> dict:
    probe = {"id": f"{path}{fact}{number}{kind}", "path": path, "fact": fact, "split": split, "kind": kind}
    return probe | {"answer": path[-1] if path else "it"}


def test_what_a_dictionary_keeps_is_counted_on_known_facts_in_the_tree(monkeypatch) -> None:
    """Of three wordings two must be right; copying and general facts are no knowledge of the tree."""
    asked = [("a", "named", ["x"])] * 3 + [("b", "named", ["x"])] * 3 + [("c", "copying", ["x"]), ("d", "general", [])]
    probes = [
        {"id": str(i), "fact": fact, "kind": kind, "path": path, "answer": "y"}
        for i, (fact, kind, path) in enumerate(asked)
    ]
    before, after = (SimpleNamespace(choice_q=torch.tensor(q)) for q in ([1, 1, 0, 1, 0, 0, 1, 1], [1, 0, 0] + [1] * 5))
    monkeypatch.setattr(dictionaries, "reconstructed", lambda bench: after)
    kept = dictionaries.kept_facts(SimpleNamespace(probes=probes), before)
    assert kept == {"unedited": pytest.approx(2 / 3), "spliced": pytest.approx(1 / 3), "probes": 3}


def test_targets_are_the_best_known_countries_of_the_largest_regions() -> None:
    known = {("a", "a0"): 3, ("a", "a1"): 5, ("a", "a2"): 1, ("a", "a3"): 4, ("b", "b0"): 2, ("b", "b1"): 2}
    probes = [question(list(path), f"{path} {n}", 0) for path, n_facts in known.items() for n in range(n_facts)]
    probes += [question(["b", "b1"], "unknown", 0), question(["b", "b1"], "copied", 0, "copying", "copying")]
    right = {probe["id"]: probe["fact"] != "unknown" for probe in probes}
    targets = known_best(probes, right)
    assert targets == [("a", "a1"), ("a", "a3"), ("a", "a0"), ("b", "b0"), ("b", "b1")]
    assert sorted(first_of_regions(targets)) == [("a", "a1"), ("b", "b0")]


def test_a_draw_of_facts_keeps_every_wording_and_all_about_the_target(monkeypatch) -> None:
    monkeypatch.setattr("studies.atlas.countries.FACTS", 2)
    paths = ["r", "t"], ["r", "s"], ["q", "o"], []
    probes = [question(path, f"{path} {f}", n) for path in paths for f in range(5) for n in range(3)]
    probes.append(question(["r", "s"], "learnt", 0, "train"))
    kept = asked(probes, ("r", "t"), 0)
    of = [tuple(probe["path"]) for probe in kept]
    assert of.count(("r", "t")) == of.count(()) == 15 and of.count(("q", "o")) == 6
    assert of.count(("r", "s")) == 6 + 1, "training questions stay"
    assert kept == asked(probes, ("r", "t"), 0)


def cell(target: str, method: str, left: float, copied: float, siblings: float) -> dict:
    names = "forget_known_mcq", "forget_named_mcq", "forget_otherwise_mcq"
    means = dict.fromkeys(names, left) | {"forget_copying_mcq": copied, "sibling_known_mcq": siblings}
    means |= {"other_known_mcq": 0.9, "general_known_mcq": 0.9, "perplexity_ratio": 1.0}
    return {"target": target, "method": method, "means": means, "settings": {"strength": 0.7}}


def test_a_country_counts_where_it_is_near_chance_and_word_and_rest_are_kept() -> None:
    rows = [cell(name, "none", 0.95, 1.0, 0.9) for name in "abcd"]
    rows += [cell("a", "npo", 0.25, 0.95, 0.88), cell("b", "npo", 0.05, 0.95, 0.88)]
    rows += [cell("c", "npo", 0.25, 0.60, 0.88), cell("d", "npo", 0.25, 0.95, 0.80)]
    table = countries({"rows": rows}).splitlines()
    assert "| `npo` | 4 | 0.25 [" in table[-1] and "| 1/4 | 1.00 | 0.97 |" in table[-1]
    assert erasure(rows[0]["means"], rows[0]["means"]) == (0.0, 1.0, 0.0)
    assert "| d | 0.95 | 0.25 | 0.25 | 0.25 | 5.0 | 10.0 | 0.0 | 0.0 | 1.000 | 0.7 |" in by_country({"rows": rows})


def test_another_dictionary_reads_the_stored_rows_of_every_passage(passages) -> None:
    generator = torch.Generator().manual_seed(0)
    acts_nd, document_n = torch.randn(10, 4, generator=generator), np.array([2, 0, 0, 2, 1, 1, 0, 2, 2, 0])
    dictionary = Dictionary(torch.randn(4, 6, generator=generator), torch.zeros(6), torch.randn(6, 4), torch.zeros(4))
    windows = [SimpleNamespace(rows=slice(0, 7)), SimpleNamespace(rows=slice(7, 10))]
    store = SimpleNamespace(
        windows=windows,
        chunk_rows=3,
        tokens=lambda window: {"doc_id": document_n[window.rows]},
        rows=lambda start, stop: acts_nd[start:stop],
    )
    read = read_by(dictionary, store, passages._replace(rows=passages.rows[:3]))
    codes_ns = dictionary.encode(acts_nd).numpy()
    for x in range(3):
        assert read.codes_xs.toarray()[x] == pytest.approx(np.log1p(codes_ns[document_n == x].sum(0)), abs=1e-5)
        assert read.fires_xs.toarray()[x] == pytest.approx((codes_ns[document_n == x] > 0).sum(0))
