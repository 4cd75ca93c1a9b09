"""Folders that say what their files were: a change of one byte is refused by whoever reads them, and named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.files import SUMS, check_sums, read_json, write_json, write_sums
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary, save_dictionary
from pipeline.tree.feature_tree import FeatureTree, load_tree, save_tree
from tests.support.tiny_lm import save_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file, and a folder below with another."""
    write_json(tmp_path / "data/a.json", {"x": 1})
    write_json(tmp_path / "data/below/b.json", [2])
    write_sums(tmp_path / "data")
    return tmp_path / "data"


def flip(path: Path, at: int = -1) -> None:
    """One bit of one byte, in place."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_every_folder_states_its_own_files(folder: Path) -> None:
    assert list(json.loads((folder / SUMS).read_text())) == ["a.json"]
    assert read_json(shutil.copytree(folder / "below", folder / "elsewhere") / "b.json") == [2]
    check_sums(folder)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: flip(f / "a.json", 7), r"a\.json is not the file that was written: .* delete .*data and run exper"),
        (lambda f: shutil.copy(f / "below/b.json", f / "a.json"), "is not the file that was written"),
        (lambda f: (f / "a.json").write_bytes(b""), "is not the file that was written"),
        (lambda f: (f / "a.json").unlink(), "is not the file that was written"),
        (lambda f: (f / SUMS).write_text("{"), r"sums\.json is damaged; copy it again"),
        (lambda f: (f / SUMS).write_bytes(b"\xff"), r"sums\.json is damaged"),
        (lambda f: (f / SUMS).write_text('["a.json"]'), r"sums\.json is damaged"),
    ],
    ids=["flip", "copied over", "emptied", "lost", "cut sums", "no text", "no mapping"],
)
def test_damage_is_named(folder: Path, damage, sentence: str) -> None:
    damage(folder)
    with pytest.raises(PipelineError, match=sentence):
        read_json(folder / "a.json")


def test_a_folder_without_sums_and_a_file_that_they_lack_are_not_judged(folder: Path) -> None:
    write_json(folder / "new.json", 3)
    assert read_json(folder / "new.json") == 3
    (folder / SUMS).unlink()
    flip(folder / "a.json", 7)
    assert read_json(folder / "a.json") == {"x": 0}


def test_readers_of_weights_and_trees_refuse_a_flipped_bit(tmp_path: Path) -> None:
    save_dictionary(tmp_path / "sae", Dictionary(*(torch.ones(s) for s in ((4, 8), (8,), (8, 4), (4,)))), {})
    linkage = np.array([[0, 1, 0.5, 2], [2, 3, 0.7, 3]])
    save_tree(tmp_path / "tree", FeatureTree(linkage, np.arange(3)))
    save_model(tmp_path / "model")
    readers = [
        (load_dictionary, "sae", "sae_weights.safetensors"),
        (load_dictionary, "sae", "cfg.json"),
        (load_tree, "tree", "linkage.npy"),
        (load_model, "model", "model.safetensors"),
        (load_tokenizer, "model", "tokenizer.json"),
    ]
    for read, name, file in readers:
        write_sums(tmp_path / name)
        read(tmp_path / name)
        flip(tmp_path / name / file, 200 if file.endswith("json") else -1)
        with pytest.raises(PipelineError, match=f"{file} is not the file that was written|is not JSON"):
            read(tmp_path / name)
        flip(tmp_path / name / file, 200 if file.endswith("json") else -1)
