"""An edit of weights as an ordinary Hugging Face folder, which needs nothing of this project to forget."""

import shutil
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.language_model.loading import keep_bars_to_terminals, load_model, load_tokenizer
from pipeline.sae.folder import load_dictionary
from pipeline.unlearning.apply import check_fits, swapped
from pipeline.unlearning.edit import load_edit
from pipeline.unlearning.origin import hash_weights


def find_edit(unlearning: Path, name: str) -> Path:
    """The folder of an edit by ``method`` or ``method/level``; the level may be left out where there is one only."""
    found = sorted(path.parent for path in unlearning.glob("*/*/edit.json"))
    names = [f"{folder.parent.name}/{folder.name}" for folder in found]
    matching = [folder for folder, full in zip(found, names, strict=True) if name in (full, folder.parent.name)]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(full for full in names if not matching or full.startswith(f"{name}/")) or "none"
    problem = "belongs to several levels" if matching else "is no edit"
    raise PipelineError(f"`{name}` {problem} in {unlearning}; name one of: {known}")


def export_edit(edit_dir: Path, model_dir: Path, sae_dir: Path, out: Path) -> None:
    """Write ``out``, the model of ``model_dir`` with the edit's weights, and its tokenizer.

    An edit that acts through a hook would not survive in a folder of weights and is refused.
    """
    edit = load_edit(edit_dir)
    if not edit.weights or len(edit.latents) or edit.guard or edit.shift is not None:
        raise PipelineError(
            f"`{edit.method}` acts through a hook and is no change of weights; use `unlearned(...)` instead"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PipelineError(f"{out} is not an empty folder; name another one")
    model = load_model(model_dir)
    check_fits(edit, load_dictionary(sae_dir), model)
    keep_bars_to_terminals()
    fresh = out.with_name(f".{out.name}.new")  # what is half written never bears the final name
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        with swapped(model, edit.weights):
            model.save_pretrained(fresh)
            written = hash_weights(model)
        load_tokenizer(model_dir).save_pretrained(fresh)
        del model  # it and its copy need not be in memory together
        check_opens(fresh, written)
        fresh.rename(out)
    except PipelineError:
        shutil.rmtree(fresh)
        raise
    except OSError as error:
        raise PipelineError(f"{out} cannot be written ({error.strerror}); name another folder") from None


def check_opens(folder: Path, weights: str) -> None:
    """Refuse an export that does not open as the model it was written from; ``weights`` is the hash of that one's."""
    if hash_weights(load_model(folder)) != weights:
        raise PipelineError(
            f"transformers reads other weights from {folder} than it wrote there, so this model cannot be exported; "
            "use `unlearned(...)` instead"
        )
