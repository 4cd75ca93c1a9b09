"""Scope on a planted tree: what each retriever finds, contrast and disputes by hand."""

import numpy as np
import pytest
from scipy import sparse

from pipeline.evaluation.scope import DRAWS, Cell, average_precision, border_precision, draw_cells, scope_figures
from pipeline.inspection import scopes
from pipeline.inspection.scopes import Evidence, candidates, doubt, other_nodes
from pipeline.scope.completion import complete
from pipeline.scope.documents import Documents, Reading, standardised
from pipeline.scope.retrievers import RETRIEVERS, Query, contrasted, least_cosine, node_activity, shared_activity
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree
from tests.support.settings import recommended
from tests.support.tiny_lm import word_tokenizer

# Two domains of two topics of four entities: a, b, ... are domains, "a0" topics, "a00" entities. Every entity has one
# latent of its own, whose number is the entity's; the tree puts the latents of a topic together, then of a domain.
ENTITIES = [(d, f"{d}{t}", f"{d}{t}{e}") for d in "ab" for t in range(2) for e in range(4)]
TREE = FeatureTree(
    np.array(
        [
            row
            for t in range(4)
            for row in ([4 * t, 4 * t + 1, 0.1, 2], [16 + 3 * t, 4 * t + 2, 0.2, 3], [17 + 3 * t, 4 * t + 3, 0.3, 4])
        ]
        + [[18, 21, 0.6, 8], [24, 27, 0.7, 8], [28, 29, 0.9, 16]],
        dtype=np.float64,
    ),
    np.arange(16),
)
SETTINGS = recommended(ScopeSettings)


@pytest.fixture(scope="module")
def documents() -> Documents:
    """Three pool notes and two labelled texts on each entity, and ten general documents in the pool."""
    notes = [{"text": f"note on {path[2]} number {i}", "path": path} for i in range(3) for path in ENTITIES]
    general = [{"text": f"story {i}", "path": ()} for i in range(10)]
    texts = [{"text": f"profile of {path[2]}", "path": path} for path in ENTITIES for _ in range(2)]
    rows = [*notes, *general, *texts]
    codes_xs = np.zeros((len(rows), 16), np.float32)
    for x, row in enumerate(rows):
        if row["path"]:
            codes_xs[x, ENTITIES.index(row["path"])] = 1 + 0.1 * (x % 3)
    topic_x = np.array([4 * "ab".index(row["path"][0]) + int(row["path"][1][1]) if row["path"] else 2 for row in rows])
    resid_xd = np.eye(6, dtype=np.float32)[topic_x] + 0.01 * np.random.default_rng(0).normal(size=(len(rows), 6))
    training = [f"{path[1]} topic has {path[2]}" for path in ENTITIES for _ in range(3)] + ["a story"] * 40
    trees = {"document": TREE}
    reading = Reading(sparse.csr_array(codes_xs), resid_xd.astype(np.float32))
    return Documents(rows, len(notes) + len(general), reading, trees, training, seed=0)


def topic_query(documents: Documents) -> Query:
    """Two entities of a0 are given; two of a1 are the sibling."""
    given, sibling = [[documents.labelled(path) for path in ENTITIES[i : i + 2]] for i in (0, 4)]
    return Query(documents.pool(without=["a00", "a01"]), given, [sibling])


@pytest.mark.parametrize("name", ["tree", "residual", "residual_tree", "tfidf_expanded", "oracle"])
def test_two_entities_find_the_rest_of_their_topic(documents: Documents, name: str) -> None:
    query = topic_query(documents)
    best = query.pool[np.argsort(-RETRIEVERS[name](documents, query, SETTINGS), kind="stable")[:6]]
    assert {documents.paths[x][1] for x in best} == {"a0"}


@pytest.mark.parametrize("name", ["flat", "tfidf"])
def test_what_shares_no_latent_and_no_rare_word_is_not_found_without_the_tree(documents: Documents, name: str) -> None:
    query = topic_query(documents)
    score_x = RETRIEVERS[name](documents, query, SETTINGS)
    inside = np.array([documents.paths[x][:2] == ("a", "a0") for x in query.pool])
    others = np.array([documents.paths[x][:1] == ("b",) for x in query.pool])
    assert score_x[inside].mean() == pytest.approx(score_x[others].mean(), abs=0.05)


def test_a_shuffled_tree_groups_other_latents(documents: Documents) -> None:
    tree, shuffled = (
        RETRIEVERS[name](documents, topic_query(documents), SETTINGS) for name in ("tree", "shuffled_tree")
    )
    assert not np.allclose(tree, shuffled)


def test_the_pool_is_all_documents_that_do_not_name_what_is_given(documents: Documents) -> None:
    pool = documents.pool(without=["a00"])
    assert len(pool) == documents.n_pool - 3
    assert not any("a00" in documents.rows[x]["text"] for x in pool)


def test_shared_activity_by_hand() -> None:
    z_xf = np.array([[3.0, 1.0, 5.0], [1.0, 0.0, 0.0], [2.0, 3.0, -1.0], [2.0, 1.0, 4.0]])
    # the examples are rows 2 and 3: the lower mean z is 2, 1, -1, so w = 4, 1, 0 of length sqrt(17)
    score_xg = shared_activity(z_xf, np.array([0, 1]), [[np.array([2]), np.array([3])]], power=2)
    assert score_xg[:, 0] == pytest.approx(np.array([3 * 4 + 1, 4]) / np.sqrt(17))


def test_nothing_shared_scores_nothing() -> None:
    z_xf = np.array([[1.0, 1.0], [2.0, -1.0], [-1.0, 2.0]])
    assert shared_activity(z_xf, np.array([0]), [[np.array([1]), np.array([2])]], power=2).tolist() == [[0]]


def test_the_cosine_is_that_to_the_less_similar_example() -> None:
    form_xf = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    found_xg = least_cosine(form_xf, np.array([0, 1]), [[np.array([2]), np.array([3])], [np.array([2])]])
    assert found_xg == pytest.approx(np.array([[0, 1], [np.sqrt(0.5), np.sqrt(0.5)]]))


def test_the_most_similar_sibling_is_subtracted() -> None:
    like = {1: np.array([1.0, 1.0]), 2: np.array([0.5, 0.0]), 3: np.array([0.2, 0.6])}

    def likeness(nodes: list) -> np.ndarray:
        return np.stack([like[int(examples[0][0])] for examples in nodes], axis=1)

    query = Query(np.arange(2), [np.array([1])], [[np.array([2])], [np.array([3])]])
    assert contrasted(query, likeness, 0.5) == pytest.approx([0.75, 0.7])
    assert contrasted(query, likeness, 0) == pytest.approx([1, 1])


def test_a_column_is_standardised_by_the_pool_clipped_and_zero_where_constant(documents: Documents) -> None:
    codes_xs = documents.reading.codes_xs.toarray()
    z_xs = standardised(documents, codes_xs, clip=100)
    assert z_xs[: documents.n_pool].mean(0) == pytest.approx(0, abs=1e-6)
    assert z_xs[: documents.n_pool].std(0) == pytest.approx(1, abs=1e-5)
    assert standardised(documents, codes_xs, clip=1) == pytest.approx(z_xs.clip(-1, 1))
    assert not standardised(documents, np.ones((len(documents.rows), 1)), clip=3).any()


def test_a_nodes_activity_is_that_of_the_sum_over_its_latents() -> None:
    sums_xs = np.zeros((2, 16))
    sums_xs[0, [0, 1]], sums_xs[1, 2] = (1, 3), 5
    activity_xm = node_activity(sparse.csr_array(np.log1p(sums_xs)), TREE)
    for m, node in enumerate(TREE.nodes()):
        assert activity_xm[:, m] == pytest.approx(np.log1p(sums_xs[:, node.members].sum(1)))


LABELLED = {
    path: [entity for entity in ENTITIES if entity[:2] == path][:2]
    for path in [("a", "a0"), ("a", "a1"), ("b", "b0"), ("b", "b1")]
}


@pytest.mark.parametrize("retriever", ["tree", "residual_tree", "oracle"])
def test_completion_separates_what_to_forget_from_siblings_and_the_rest(documents: Documents, retriever: str) -> None:
    found = complete(documents, retriever, ("a", "a0"), LABELLED, 6, SETTINGS)
    assert {documents.paths[x][:2] for x in found.forget} == {("a", "a0")}
    assert {documents.paths[x][:2] for x in found.sibling} == {("a", "a1")}
    assert {documents.paths[x][0] for x in found.other} == {"b"}
    known = {path[2] for paths in LABELLED.values() for path in paths}
    everything = [*found.forget, *found.sibling, *found.other]
    assert max(everything) < documents.n_pool
    assert not any(documents.paths[x][2] in known for x in everything)


def test_a_document_that_two_nodes_claim_is_dropped(documents: Documents) -> None:
    """With more asked for than there is, every node claims the same documents."""
    found = complete(documents, "tree", ("a", "a0"), LABELLED, documents.n_pool, SETTINGS)
    assert found == ([], [], [])


NODES = {
    level: list(dict.fromkeys(path[: d + 1] for path in ENTITIES))
    for d, level in enumerate(("domain", "topic", "entity"))
}


def test_figures_of_every_retriever_over_nodes_and_draws(documents: Documents) -> None:
    found = scope_figures(documents, NODES, SETTINGS, seed=0)
    assert set(found) == {f"scope/{name}" for name in RETRIEVERS}
    oracle, tree, words = (found[f"scope/{name}"]["means"] for name in ("oracle", "tree", "tfidf"))
    assert set(oracle.values()) == {1.0}, "the oracle is never wrong"
    assert tree["average_precision"] == tree["border_precision_topic"] == tree["border_precision_domain"] == 1
    assert words["average_precision"] < 0.6 and words["border_precision_entity"] == 1, "names tell entities, not topics"
    assert len(found["scope/tree"]["values"]["average_precision"]["value_by_index"]) == 4 * DRAWS


def test_cells_give_two_examples_and_contrast_every_other_node(documents: Documents) -> None:
    cells = draw_cells(documents, NODES, 0, seed=0)
    assert [sum(cell.level == level for cell in cells) for level in NODES] == [2, 4, 4]
    for cell in cells:
        given = [documents.paths[x] for example in cell.border.given for x in example]
        assert len(cell.border.given) == 2 and all(path[: len(cell.node)] == cell.node for path in given)
        assert not any(
            documents.paths[x][: len(cell.node)] == cell.node for of in cell.border.contrast for e in of for x in e
        )
        assert len(cell.border.pool) == documents.n_pool
        assert not {documents.paths[x] for x in cell.unseen.pool} & set(given)
        if cell.level == "domain":
            assert len({path[1] for path in given}) == 2, "two entities of different topics"


def test_precision_counts_by_hand(documents: Documents) -> None:
    """Topic a0 has twelve notes in the pool, six of them of entities that are not given."""
    query = topic_query(documents)
    cell = Cell("topic", ("a", "a0"), 0, query._replace(pool=documents.pool()), query)
    inside = np.array([documents.paths[x][:2] == ("a", "a0") for x in cell.border.pool])
    wrong = inside.astype(float)
    wrong[np.flatnonzero(inside)[:3]] = -1
    assert border_precision(documents, cell, wrong) == 9 / 12
    unseen = np.array([documents.paths[x][:2] == ("a", "a0") for x in query.pool])
    assert average_precision(documents, cell, unseen.astype(float)) == 1
    assert average_precision(documents, cell, -unseen.astype(float)) < 0.2


def labelled_levels(
    documents: Documents, without: tuple[str, ...]
) -> dict[str, dict[tuple[str, ...], list[np.ndarray]]]:
    """Every node beside the one that is meant, with the texts of two of its children."""
    return {
        level: {
            node: [documents.labelled(path) for path in ENTITIES if path[: d + 1] == node][:2]
            for node in NODES[level]
            if node != without[: d + 1]
        }
        for d, level in enumerate(NODES)
    }


def test_candidates_are_nested_and_end_at_their_level(documents: Documents) -> None:
    given = [documents.labelled(path) for path in ENTITIES[:2]]
    entity, topic, domain = candidates(documents, given, labelled_levels(documents, ENTITIES[0]), SETTINGS)
    assert (entity.level, topic.level, domain.level) == ("entity", "topic", "domain")
    assert set(entity.documents) <= set(topic.documents) <= set(domain.documents)
    assert {documents.paths[x][2] for x in topic.documents} == {"a00", "a01", "a02"}, "a02 merges next"
    assert topic.siblings[0][0] == ("a", "a1"), "the nearest topic outside is the one of the same domain"
    assert {documents.paths[x][2] for x in topic.outside} == {"a03"}, "which merges last, is the nearest outside"
    assert {"a00", "a01"} <= set(topic.words)
    assert topic.evidence[0].node == 16, "the merge of the two entities' latents"
    assert doubt([entity, topic, domain]) is None
    strangers = [Evidence(1, 2, 2.8), Evidence(2, 2, 1.6), Evidence(3, 2, 1.1)]
    assert "third group is at z 1.1" in doubt([entity._replace(evidence=strangers)])


def test_the_node_that_the_examples_lie_in_is_not_among_its_own_siblings(documents: Documents) -> None:
    given = [documents.one(int(documents.labelled(ENTITIES[0])[0]))]
    others = other_nodes(documents, given, list(NODES), SETTINGS)
    assert set(others["topic"]) == set(NODES["topic"]) - {("a", "a0")}
    assert set(others["domain"]) == {("b",)}
    first, second = (documents.paths[int(example[0])] for example in others["topic"][("b", "b1")])
    assert first[2] != second[2], "two different entities"


def test_examples_in_words_that_the_model_never_saw_are_told(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(scopes, "load_tokenizer", lambda _: word_tokenizer())
    assert scopes._foreign(tmp_path, ["w1 w2 w3", "w4 w5 elsewhere"]) is None
    said = scopes._foreign(tmp_path, ["text of one example", "w1 w2"])
    assert said == "4 of 6 tokens of the examples are unknown to this model; give text in its words"
