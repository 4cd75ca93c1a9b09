"""What the report says of groups and nodes: words, contexts, where they are active, which nodes are shown."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models

from pipeline.codes import words as labels
from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.codes.words import Passages
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.language_model.token_text import TokenText
from pipeline.report.reading import Reading, activity
from pipeline.report.tree_data import coherences, shown_nodes, shown_parents, tree_data
from pipeline.report.tree_pictures import caption, largest_groups, layout
from pipeline.tree.feature_tree import FeatureTree, load_tree
from tests.support.report_files import DOCUMENTS, PLANTED, write_all
from tests.support.report_page import reading_of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def reading(data: Path) -> Reading:
    return reading_of(data)


@pytest.fixture(scope="module")
def tree(data: Path) -> FeatureTree:
    return load_tree(data / "dendrogram")


# --- words ---------------------------------------------------------------------------------------------------------


def test_log_odds_against_a_table_worked_by_hand() -> None:
    """3 of the group's 4 tokens, 1 of the rest's 6; the prior of a word with 4 of 10 tokens is 200 of 500."""
    delta = np.log((3 + 200) / (4 - 3 + 300)) - np.log((1 + 200) / (6 - 1 + 300))
    z = labels.log_odds(np.array([3.0]), np.array([4.0]), total=10.0, in_group=4.0)
    assert z == pytest.approx([delta / np.sqrt(1 / 203 + 1 / 201)])
    counts = labels.sparse.csr_array(np.array([[3.0, 1.0]]))
    assert labels.top_words(counts, np.array([4.0, 6.0]), ["a", "b"], 5) == [["a"]]  # b is rarer in the group


def test_pieces_of_a_word_are_joined() -> None:
    class Pieces:
        def piece(self, token: int) -> str:
            return [" ha", "rbor", " sea", "."][token]

    columns = [np.array(column, np.int32) for column in ([0, 1, 3, 2, 1], [0] * 5, [0, 0, 0, 0, 1], [0, 1, 2, 3, 0])]
    codes = SparseCodes(np.zeros(6, np.int64), np.zeros(0, np.uint16), np.zeros(0, np.float32), *columns, 1)
    words = labels.words_of(codes, Pieces())  # type: ignore[arg-type]
    assert [words.text[word] for word in words.word_n] == ["harbor", "harbor", ".", "sea", "rbor"]


def test_stripes_of_a_large_store_are_its_rows(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "STRIPES", 2)
    store = CodesStore.open(data / "features.zarr")
    part, whole = labels.sample(store, most=8), store.all()
    length = len(part.token_id) // 2
    assert 0 < 2 * length < store.n_tokens
    expected = np.concatenate([whole.token_id[:length], whole.token_id[-length:]])
    assert part.token_id.tolist() == expected.tolist()
    assert part.indptr[-1] == len(part.index) == len(part.value)


@pytest.mark.parametrize(
    ("decoder", "written", "read"),
    [
        (None, "river", " river"),  # whole words
        (decoders.WordPiece(), "##ver", "ver"),
        (decoders.WordPiece(), "ri", " ri"),
        (decoders.ByteLevel(), "ĠrÃ©", " ré"),
        (decoders.Metaspace(), "▁ri", " ri"),
        (decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]), "▁ri", " ri"),
        (decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]), "<0x0A>", "\n"),
    ],
)
def test_a_piece_begins_with_a_space_where_a_word_begins(
    decoder: decoders.Decoder | None, written: str, read: str
) -> None:
    tokenizer = Tokenizer(models.WordLevel({written: 0}, unk_token=written))
    if decoder is not None:
        tokenizer.decoder = decoder
    assert TokenText(tokenizer).piece(0) == read
    assert TokenText(tokenizer).piece(7) == " <7>"  # embedding matrices are padded beyond the vocabulary


def test_the_tokenizer_of_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"tokenizer.json is missing"):
        TokenText.open(tmp_path)
    write_json(tmp_path / "reference.json", {"id": "nobody/nothing", "revision": None})
    with pytest.raises(PipelineError, match="hf download nobody/nothing"):
        TokenText.open(tmp_path)


# --- activity and contexts -----------------------------------------------------------------------------------------


def test_activity_by_relation_and_place(reading: Reading) -> None:
    """Latent 0 fires in the first two documents, the target's; 2 in the third, elsewhere, and the fourth, general."""
    forget, sibling, other, general = reading.activity.of_target["topic"]
    codes = reading.codes
    row_document = np.repeat(codes.doc_id, np.diff(codes.indptr))

    def summed(latent: int, *documents: int) -> float:
        return float(codes.value[(codes.index == latent) & np.isin(row_document, documents)].sum())

    assert forget[0] == pytest.approx(summed(0, 0, 1)) and sibling[0] == other[0] == general[0] == 0
    assert sibling[2] == pytest.approx(summed(2, 2)) and general[2] == pytest.approx(summed(2, 3))
    places = dict(zip(reading.activity.places, reading.activity.of_place, strict=True))
    assert places["<b>d0</b> / t$1$"][0] == pytest.approx(summed(0, 0, 1))
    assert places["other"][2] == pytest.approx(summed(2, 2))


def test_documents_of_mixed_facts_count_nowhere(reading: Reading) -> None:
    mixed = [{**row, "kind": "mixed_facts"} for row in DOCUMENTS]
    assert not activity(reading.codes, mixed, {"topic": ["x"]}).of_target["topic"].any()


def test_contexts_are_the_strongest_tokens_of_different_documents(reading: Reading) -> None:
    """Latent 3 is strongest on the second token of document 3, and fires on the first of document 2 as well."""
    found = Passages(reading.codes).of(np.array([3]), 5)
    assert [int(reading.codes.doc_id[context.start]) for context in found] == [3, 2]
    assert [context.strength.tolist() for context in found] == [[9, 9, 0], [9, 0, 0]]
    values = [reading.codes.value[reading.codes.index == 3]]
    assert values[0].argmax() == len(values[0]) - 1


def test_a_silent_group_has_no_context(reading: Reading) -> None:
    silent = reading.codes._replace(n_latents=9)
    assert Passages(silent).of(np.array([8]), 3) == []


# --- nodes ---------------------------------------------------------------------------------------------------------


def test_coherence_is_the_mean_over_pairs(tree: FeatureTree) -> None:
    """{0..3}: pairs 01 at 0.9, 23 at 0.8, four at 0.3."""
    expected = [1] * 6 + [0.9, 0.8, (0.9 + 0.8 + 4 * 0.3) / 6, 0.1, (0.9 + 0.8 + 1.2 + 0.1) / 15]
    assert coherences(tree) == pytest.approx(expected)


def test_a_small_tree_is_shown_whole_and_a_large_one_by_what_matters(tree: FeatureTree) -> None:
    importance = np.array([0, 0, 0, 0, 0, 1.0])
    assert len(shown_nodes(tree, [0.25, 0.5], importance, [], most=11)) == 11
    # the root and latent 1, which was chosen; then cut 0.25's group
    assert shown_nodes(tree, [0.25], importance, [1], most=3).tolist() == [1, 8, 10]
    # then by weight: the latent 5; every merge has a part that is of no importance
    assert shown_nodes(tree, [0.25], importance, [], most=3).tolist() == [5, 8, 10]
    assert shown_parents(tree, np.array([1, 5, 8, 10])).tolist() == [2, 3, 3, -1]


def test_a_spine_does_not_fill_the_page() -> None:
    """1,000 latents that join a growing group one by one; only those of a pair at its far end matter."""
    n = 1000
    merges = [[0, 1, 0.1, 2], *([n + k, k + 2, 0.5 + k / 3000, k + 3] for k in range(n - 2))]
    spine = FeatureTree(np.array(merges, float), np.arange(n))
    importance = np.zeros(n)
    importance[[0, 1]] = 1
    nodes = shown_nodes(spine, [0.8], importance, [2], most=6)
    assert {0, 1, 2, n, 2 * n - 2} <= set(nodes.tolist()) and len(nodes) == 6
    parents = shown_parents(spine, nodes)
    assert nodes[parents[nodes.tolist().index(0)]] == n  # the pair, not the spine above it
    assert (parents == -1).sum() == 1 and (parents[:-1] > np.arange(len(nodes) - 1)).all()


def test_columns_of_the_explorable_tree(tree: FeatureTree, reading: Reading) -> None:
    found = tree_data(tree, [0.25, 0.5], reading, {"topic": [0, 1, 5]}, 3000, 4)
    assert found["parent"] == [6, 6, 7, 7, 9, 9, 8, 8, 10, 10, -1]
    assert found["size"] == [1] * 6 + [2, 2, 4, 2, 6]
    assert found["first"] == [0, 1, 2, 3, 4, 5, 0, 2, 0, 4, 0]
    assert found["r"][6:] == pytest.approx([0.9, 0.8, 0.3, 0.1, 0.0])
    assert found["marked"]["topic"] == [1, 1, 0, 0, 0, 1, 2, 0, 2, 1, 3]
    assert found["targets"]["topic"][6] == [100, 0, 0, 0]
    assert {found["text"][word] for word in found["words"][6]} == {"river", PLANTED}
    tokens, strengths = found["contexts"][0][0]
    assert len(tokens) == len(strengths) and "9" in strengths


def test_the_figures_lines_join_children_at_the_merge(tree: FeatureTree) -> None:
    place, segments = layout(tree, np.concatenate(tree.cut(-2.0)), -np.inf)
    assert sorted(place.values()) == [0, 1, 2, 3, 4, 5]
    assert len(segments) == 5
    assert segments[0][:, 1].tolist() == pytest.approx([1, 0.9, 0.9, 1]), "two latents"
    assert segments[4][:, 1].tolist() == pytest.approx([0.3, 0.0, 0.0, 0.1]), "two groups, where they merged"


def test_a_large_tree_is_drawn_by_its_largest_groups(tree: FeatureTree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(group) for group in largest_groups(tree, 0.5)] == [2, 2, 1, 1], "a small one wholly"
    monkeypatch.setattr("pipeline.report.tree_pictures.ALL_UP_TO", 5)
    monkeypatch.setattr("pipeline.report.tree_pictures.LEAVES", 3)
    shown = largest_groups(tree, 0.5)
    assert [len(group) for group in shown] == [2, 2], "the largest, until three latents are shown"
    assert caption(tree, shown, 0.5) == "2 groups at r ≥ 0.50, marked or largest: 4 of 6 latents"
    single = int(tree.cut(0.5)[-1][0])
    assert single in np.concatenate(largest_groups(tree, 0.5, [single])), "a marked latent is always shown"
    place, segments = layout(tree, np.concatenate(shown), 0.5)
    assert len(place) == 4 and len(segments) == 2
