"""An edit that ``unlearn`` left, opened for this run alone."""

from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.unlearning.apply import check_fits
from pipeline.unlearning.edit import Edit, load_edit
from pipeline.unlearning.subject import Subject


def open_edit(folder: Path, subject: Subject, target: tuple[str, ...]) -> Edit:
    """The edit in a folder; refused if it was made for another model, dictionary or target, as a copied one may be."""
    edit = load_edit(folder)
    check_fits(edit, subject.dictionary, subject.model)
    if edit.target != target or edit.layer != subject.layer:
        raise PipelineError(
            f"{folder} forgets {'/'.join(edit.target)} at layer {edit.layer}, this run {'/'.join(target)} at layer "
            f"{subject.layer}; delete {folder.parent.parent} and run experiment.py, which makes it anew"
        )
    return edit
