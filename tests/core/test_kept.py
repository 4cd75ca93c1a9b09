"""What is kept comes back under the same circumstances, whole, and under no others."""

import pytest

from pipeline.core.kept import Kept


@pytest.fixture
def made(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/edit.json").write_text("{}")
    return tmp_path / "made"


def test_a_part_comes_back(made, tmp_path) -> None:
    Kept(tmp_path / "kept", {"seed": 0}).keep(made, "npo", "topic")
    kept = Kept(tmp_path / "kept", {"seed": 0})
    assert kept.restore(tmp_path / "again/npo", "npo", "topic")
    assert (tmp_path / "again/npo/edit.json").read_text() == "{}"
    for shaped_by, of in (({"seed": 1}, ("npo", "topic")), ({"seed": 0}, ("npo", "entity"))):
        assert not Kept(tmp_path / "kept", shaped_by).restore(tmp_path / "other", *of)
    assert not (tmp_path / "other").exists()


def test_a_file_is_a_part_too_and_is_replaced_whole(made, tmp_path) -> None:
    kept = Kept(tmp_path / "kept", None)
    for text in ("first", "second"):
        (made / "edit.json").write_text(text)
        kept.keep(made / "edit.json", 1)
    assert kept.restore(tmp_path / "file.json", 1) and (tmp_path / "file.json").read_text() == "second"


def test_what_was_not_asked_for_goes(made, tmp_path) -> None:
    Kept(tmp_path / "kept", 0).keep(made, "old")
    (tmp_path / "kept/.half.partial").mkdir()
    kept = Kept(tmp_path / "kept", 1)
    kept.keep(made, "new")
    kept.forget_others()
    assert len(list((tmp_path / "kept").iterdir())) == 1 and kept.restore(tmp_path / "new", "new")
