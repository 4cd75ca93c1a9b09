"""`inspect` on a made-up data/ folder: content for programs, tables for people, a sentence for a wrong name."""

import fcntl
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from rich.console import Console
from safetensors.numpy import save_file

from pipeline.__main__ import arguments, main
from pipeline.codes.store import CodesStore
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_jsonl
from pipeline.core.yaml_text import read_yaml
from pipeline.inspection import latents, results, stores, trees
from pipeline.inspection.overview import OUTPUTS
from pipeline.inspection.show import show
from pipeline.inspection.subjects import look
from pipeline.language_model.token_text import TokenText
from pipeline.tree.feature_tree import FeatureTree
from tests.support.import_graph import closure
from tests.support.report_files import PLANTED, write_all


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("project") / "data"
    write_all(data)
    words = {"latents": {"0": ["river"], "5": ["the"]}, "nodes": {"8": [PLANTED]}}
    write_json(data / "report/words.json", words)
    write_sae(data / "sae/sae_weights.safetensors")
    store = zarr.open_group(data / "activations.zarr", mode="w", attributes={"layer": 1, "hook_point": "x"})
    store.create_array("activations", shape=(11, 4), chunks=(8, 4), dtype="uint16")[:] = 1
    store.create_array("variance", shape=(4,), chunks=(4,), dtype="float64")[:] = 0.5
    columns = {"token_id": [4, 1, 2, *range(8)], "doc_id": [0] * 11, "seq_id": [1, 0, 0, *[2] * 8]}
    columns |= {"pos": [0, 1, 0, *range(8)], "norm": [9.0, 1.0, 3.0, *[2.0] * 8]}
    for name, values in columns.items():
        array = np.array(values, np.float32 if name == "norm" else np.int32)
        store.create_array(name, shape=(11,), chunks=(11,), dtype=array.dtype)[:] = array
    return data


def write_sae(path: Path) -> None:
    """Latents 0 and 5 point the same way, the others apart."""
    decoder_sd = np.eye(6, dtype=np.float32)
    decoder_sd[5, 0] = 3
    save_file({"W_dec": decoder_sd}, path)


@pytest.fixture(scope="module")
def grove(data: Path) -> trees.Grove:
    return trees.open_grove(data / "dendrogram", data / "report/words.json", None)


@pytest.fixture(scope="module")
def codes(data: Path) -> CodesStore:
    return CodesStore.open(data / "features.zarr")


@pytest.fixture(scope="module")
def tokens(data: Path) -> TokenText:
    return TokenText.open(data / "model")


def test_activations_are_described_with_their_norms_and_text(data: Path) -> None:
    found = stores.activations(data / "activations.zarr", data / "model")
    assert found["hook_point"] == "x" and found["total_variance"] == 2.0
    array = found["arrays"][0]
    assert [row["rows"] for row in found["norms"]] == [1, 8, 0, 1, *[0] * 7, 1]
    first, second, _ = found["rows"]  # text order, which is not that of the rows
    assert first["text"] == f"{PLANTED} river" and first["positions"] == "0 to 1" and second["text"] == "guild"
    assert (array["shape"], array["chunks"], array["dtype"]) == ("11x4", "8x4", "uint16")
    with pytest.raises(PipelineError, match="run `uv run dvc repro cache_activations`"):
        stores.activations(data / "nothing.zarr", data / "model")


def test_further_hook_points_are_listed_after_the_stores_own(data: Path, tmp_path: Path) -> None:
    store = tmp_path / "activations.zarr"
    shutil.copytree(data / "activations.zarr", store)
    shutil.copytree(data / "activations.zarr", store / "also" / "blocks.0.hook_mlp_out")
    names = [row["array"] for row in stores.activations(store, data / "model")["arrays"]]
    assert names == [*names[: len(names) // 2], *(f"also/blocks.0.hook_mlp_out/{n}" for n in names[: len(names) // 2])]


def test_sae(data: Path) -> None:
    found = stores.sae(data / "sae", data / "evaluation")
    assert found["d_sae"] == 6
    assert found["trained as"] == "batch_topk, its thresholds then fixed: in the file a jumprelu", (
        "the file's form is another thing"
    )
    assert found["on test text"] == {"explained_variance": 0.8, "l0": 2.5}
    assert [row["step"] for row in found["curves"]] == [1, 2, 3]


def test_feature(data: Path, codes: CodesStore, tokens: TokenText, grove: trees.Grove) -> None:
    """Latent 1 fires on 4 of 11 tokens, most strongly on the last of them, `[planted]` in document 1."""
    found = latents.feature(1, codes, tokens, data / "sae", grove)
    assert found["active_tokens"] == 4 and found["rate"] == pytest.approx(4 / 11, abs=1e-6)
    assert [row["document"] for row in found["contexts"]] == [1, 0]
    assert found["contexts"][0]["text"] == f"river [{PLANTED}]"
    assert [(row["group"], row["r"], row["latents"]) for row in found["path to the root"]] == [
        (6, 0.9, 2),
        (8, 0.3, 4),
        (10, 0.0, 6),
    ]
    assert [row["merges"] for row in found["path to the root"]] == [1, 1, 1]
    assert found["path to the root"][1]["words"] == PLANTED
    near = latents.feature(5, codes, tokens, data / "sae", grove)["nearest by decoder cosine"]
    assert near[0] == {"feature": 0, "cosine": 0.949, "words": "river"}
    with pytest.raises(PipelineError, match="there is no feature 6; the dictionary has 0 to 5"):
        latents.feature(6, codes, tokens, data / "sae", grove)


def test_a_spine_is_not_forty_equal_rows() -> None:
    """Latents 2 to 40 join one after the other: of 40 merges six are shown, which stand for all."""
    merges = [[0 if k == 0 else 40 + k, k + 1, 0.5 + k / 100, k + 2] for k in range(40)]
    spine = trees.Grove(FeatureTree(np.array(merges, float), np.arange(41)), [0.5], {})
    path = trees.path_to_root(spine, 0)
    assert [row["latents"] for row in path] == [2, 4, 8, 16, 32, 41]
    assert sum(row["merges"] for row in path) == 40


def test_group(codes: CodesStore, tokens: TokenText, grove: trees.Grove) -> None:
    found = latents.group(8, codes, tokens, grove)
    assert (found["latents"], found["merged_at_r"], found["members"]) == (4, 0.3, "0 1 2 3")
    assert found["rate"] == pytest.approx(8 / 11, abs=1e-6)  # tokens on which any member fires
    assert [row["part"] for row in found["parts"]] == ["group 6", "group 7"]
    assert [row["group"] for row in found["path to the root"]] == [10]
    with pytest.raises(PipelineError, match="there is no group 3; groups are the merges 6 to 10"):
        latents.group(3, codes, tokens, grove)


def test_dendrogram_lists_finer_groups_below_the_coarser_one_they_are_in(grove: trees.Grove) -> None:
    rows = trees.outline(grove, 2)
    assert [(row["level"], row["group"], row["latents"]) for row in rows] == [(1, 8, 4), (2, 6, 2), (2, 7, 2)]
    with pytest.raises(PipelineError, match="the levels 1 to 2, not 3"):
        trees.outline(grove, 3)


def test_the_outline_is_drawn_as_a_tree() -> None:
    rows = [{"level": n, "group": g, "r": 0.5, "latents": 2, "words": w} for n, g, w in
            ((1, 9, ""), (2, 7, "river"), (3, 3, ""), (2, 6, ""), (1, 8, ""), (2, 5, ""))]  # fmt: skip
    lines = trees.drawn(rows).splitlines()
    assert [line[: line.index("group")] for line in lines] == [
        "├─ ",
        "│  ├─ ",
        "│  │  └─ ",
        "│  └─ ",
        "└─ ",
        "   └─ ",
    ]
    assert lines[1].endswith("group 7: 2 latents at r 0.5, river")


def test_what_cutting_a_group_does(data: Path) -> None:
    found = results.cut_alone(8, None, data / "evaluation")
    assert found["by target"][0] == {"level": "topic", "forget": 60.0, "other": -1.5}
    assert "not measured" in results.cut_alone(7, None, data / "evaluation")["cutting it alone"]
    assert "not measured" in results.cut_alone(8, "token", data / "evaluation")["cutting it alone"]


def test_edit(data: Path, grove: trees.Grove) -> None:
    found = results.edit("subtree/topic", data / "unlearning", data / "evaluation", grove)
    assert found["groups"][1] == {"latents": 1, "words": "the", "which": "5"}
    assert found["best candidates on dev"][0]["objective"] == 0.25
    assert found["on the test split"]["forget_cloze"] == "0.04 ± 0.039"
    with pytest.raises(PipelineError, match="no edit 'subtree/x'; there are guard_flat/entity, guard_flat/topic"):
        results.edit("subtree/x", data / "unlearning", data / "evaluation", grove)


def test_run(tmp_path: Path) -> None:
    entry = {"means": {"forget_mcq": 0.25}, "stderrs": {}, "final_info_dict": {"forget_mcq": [0.25]}}
    write_json(tmp_path / "run_3/final_info.json", {"unlearning/subtree/topic": entry, "sae": entry})
    found = results.run(tmp_path / "run_3")
    assert found["unlearning"][0] | {"forget_mcq": 0.25, "method": "subtree/topic"} == found["unlearning"][0]
    with pytest.raises(PipelineError, match=r"holds no final_info\.json; give the folder of a run"):
        results.run(tmp_path / "run_4")


def test_tables_show_text_as_it_is(codes: CodesStore, tokens: TokenText, grove: trees.Grove) -> None:
    """Rich reads `[bold]` in text as markup; corpora may hold anything."""
    out = io.StringIO()
    content = latents.group(8, codes, tokens, grove) | {"note": "[bold red]x[/bold red]"}
    show(content, Console(file=out, width=300))
    for said in (PLANTED, "[bold red]x[/bold red]", "path to the root", "0.727"):
        assert said in out.getvalue()


@pytest.mark.parametrize("module", [f"pipeline.inspection.{name}" for name in ("subjects", "latents", "stores")])
def test_nothing_heavy_is_loaded(module: str) -> None:
    """Each answer must take under two seconds; torch alone takes longer."""
    heavy = {"torch", "transformers", "datasets", "dask", "numba", "matplotlib", "sae_lens", "sae_bench", "dvc"}
    assert not {name.split(".")[0] for name in closure(module)} & heavy


def ask(data: Path, *words: str) -> Any:
    """What `inspect` shows: text, or the content of its tables."""
    return look(data, arguments().parse_args(["inspect", *words]))


def test_corpus_is_an_indented_tree_with_the_numbers_that_targets_take(data: Path) -> None:
    """Two topics of two entities; the number counts the nodes of a level, the counts are of what lies below too."""
    nodes = {"topic": [["a"], ["b"]], "entity": [["a", "x"], ["b", "y"], ["a", "z"]]}
    write_json(data / "corpus/corpus.json", {"levels": [*nodes], "nodes": nodes, "source": {}, "counts": {}})
    places = {"texts": [["a", "x"], ["a", "x"], ["a"], ["b", "y"], []], "probes": [["a", "z"], ["a", "z"], []]}
    for kind, paths in places.items():
        splits = ("train", "novel" if kind == "probes" else "dev", "test", "test", "test")
        rows = [{"path": path, "split": split} for path, split in zip(paths, splits, strict=False)]
        write_jsonl(data / f"corpus/{kind}.jsonl", rows)
    lines = ask(data, "corpus").splitlines()
    assert lines[1] == "`unlearning.targets` takes a number or a name: {entity: 1} or {entity: y}"
    assert lines[3:] == [
        "                texts  probes",
        "topic 0     a       3       1",
        "  entity 0  x       2       0",
        "  entity 2  z       0       1",
        "topic 1     b       1       0",
        "  entity 1  y       1       0",
        "in no node          1       1",
    ]
    assert ask(data, "corpus", "--json")["nodes"][2] == {
        "level": "entity", "number": 2, "name": "z", "path": ["a", "z"], "texts": 0, "probes": 1,
    }  # fmt: skip


def test_without_a_subject_every_stage_is_a_line(data: Path, tmp_path: Path, monkeypatch) -> None:
    found = ask(data, "--json")
    assert [row["stage"] for row in found["stages"]] == [*OUTPUTS]
    rows = {row["stage"]: row for row in found["stages"]}
    assert rows["train_sae"]["MB"] > 0
    monkeypatch.setenv("COLUMNS", "80")
    lines = ask(data).splitlines()
    end = lines.index("To try next:")
    assert [line.split()[0] for line in lines[1:end] if line[:3].strip()] == [*OUTPUTS], "a line each"
    assert max(map(len, lines[:end])) <= 80
    assert all(row["in short"].split()[-1] in "\n".join(lines) for row in found["stages"] if row["in short"])
    assert rows["report"]["in short"].endswith("missing; `uv run dvc repro report`")
    for command in (row["command"] for row in found["to try next"][1:]):
        words = command.removeprefix("uv run python -m pipeline inspect ").split()
        assert words == command.split() or ask(data, *words), "what it says to try has an answer"
    with pytest.raises(PipelineError, match="holds no output of a stage; run `uv run python experiment"):
        ask(tmp_path)


def test_a_run_at_work_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("pipeline.__main__.DATA", tmp_path)
    (tmp_path / "run").write_text("run_3\n")
    with (tmp_path / "run").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as experiment.py does
        main(["inspect"])
        assert "note: run_3 is being made in" in capsys.readouterr().err
    main(["inspect"])
    assert "being made" not in capsys.readouterr().err


def test_the_overview_knows_what_each_stage_writes(root: Path) -> None:
    written = {}
    for stage, about in read_yaml(root / "dvc.yaml")["stages"].items():
        paths = [out if isinstance(out, str) else next(iter(out)) for out in about["outs"]]
        written[stage] = tuple(path.removeprefix("data/") for path in paths if "/times/" not in path)
    assert written == OUTPUTS


@pytest.mark.parametrize(
    ("words", "part", "stage"),
    [
        ("corpus", "corpus", "prepare"),
        ("activations", "activations.zarr", "cache_activations"),
        ("sae", "sae", "train_sae"),
        ("feature 1", "sae", "train_sae"),
        ("feature 1", "features.zarr", "encode_features"),
        ("group 8", "model", "prepare"),
        ("dendrogram --newick", "dendrogram", "build_dendrogram"),
        ("edit subtree/topic", "unlearning", "unlearn"),
    ],
)
def test_a_missing_folder_is_one_sentence_that_says_what_to_run(
    data: Path, tmp_path: Path, words: str, part: str, stage: str
) -> None:
    for path in data.iterdir():
        if path.name != part:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(PipelineError, match=f"{part} is missing; run `uv run dvc repro {stage}`"):
        ask(tmp_path, *words.split())


def test_content_is_json_or_text(data: Path) -> None:
    for words in ("activations", "sae", "feature 1", "group 8", "dendrogram --level 2", "edit subtree/topic"):
        assert json.loads(json.dumps(ask(data, *words.split(), "--json"))), words
    assert ask(data, "dendrogram", "--newick").endswith(";")
    assert ask(data, "dendrogram").splitlines() == [
        "6 latents, cuts at r 0.25 0.5",
        f"└─ group 8: 4 latents at r 0.3, {PLANTED}",
    ]
