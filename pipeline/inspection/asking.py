"""One question to the model, before and after an edit, or under every edit of the run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.errors import PipelineError
from pipeline.core.faults import did_you_mean
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.progress import track
from pipeline.core.settings import read_section
from pipeline.language_model.completions import Completion, complete
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.unlearning.apply import unlearned


def ask(data: Path, prompt: str, edit: str | None) -> dict[str, Any]:
    """The likeliest next tokens and a greedy text: side by side for one edit, a row for each of all edits."""
    folder = data / "unlearning"
    names = [edit_named(folder, edit)] if edit is not None else edit_names(folder)
    machine = read_section(data / "params.yaml", MachineSettings, "machine")
    prepare_process(machine.threads)
    model, tokenizer = load_model(data / "model", device=pick_device(machine.device)), load_tokenizer(data / "model")
    before, note = complete(model, tokenizer, prompt), unknown_words(prompt, tokenizer)
    after = {
        name: _under(model, tokenizer, prompt, folder / name, data / "sae")
        for name in track(names, "asking", len(names), "edits")
    }
    if edit is not None:
        [(name, answer)] = after.items()
        target = read_json(folder / name / "edit.json")["target"]
        return {"prompt": prompt, **note, "edit": name, "target": " / ".join(target)} | side_by_side(before, answer)
    rows = {"no edit": before, **after}
    return {"prompt": prompt, **note, "edits": [{"edit": name} | in_short(answer) for name, answer in rows.items()]}


def edit_names(unlearning: Path) -> list[str]:
    """Every edit of a run, as ``method/level``."""
    return sorted(f"{file.parent.parent.name}/{file.parent.name}" for file in unlearning.glob("*/*/edit.json"))


def edit_named(unlearning: Path, name: str) -> str:
    """The name, if there is such an edit."""
    known = edit_names(unlearning)
    if name not in known:
        of_method = [edit for edit in known if edit.startswith(f"{name}/")]
        meant = f"; name its level too: {', '.join(of_method)}" if of_method else did_you_mean(name, known)
        raise PipelineError(f"there is no edit `{name}` in {unlearning}{meant}")
    return name


def unknown_words(prompt: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """A warning where the tokenizer reads words of the prompt as unknown: the model never saw them."""
    n_unknown, n_tokens = count_unknown([prompt], tokenizer)
    return {"note": f"{n_unknown} of {n_tokens} tokens are unknown to this model"} if n_unknown else {}


def count_unknown(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """How many tokens of the texts the model has no word for, and how many there are."""
    ids = [token for row in tokenizer(list(texts), add_special_tokens=False)["input_ids"] for token in row]
    unknown = tokenizer.unk_token_id
    return (sum(token == unknown for token in ids) if unknown is not None else 0), len(ids)


def side_by_side(before: Completion, after: Completion) -> dict[str, Any]:
    """Ranks of the next token in two columns, then both greedy texts."""
    pairs = zip(before.likeliest, after.likeliest, strict=True)
    return {
        "next token": [
            {"rank": rank, "before": token, "p before": round(p, 4), "after": other, "p after": round(q, 4)}
            for rank, ((token, p), (other, q)) in enumerate(pairs, 1)
        ],
        "goes on": [{"when": when, "text": of.text} for when, of in (("before", before), ("after", after))],
    }


def in_short(answer: Completion) -> dict[str, str]:
    """One row."""
    likeliest = ", ".join(f"{token.strip() or repr(token)} {p:.2f}" for token, p in answer.likeliest)
    return {"likeliest next": likeliest, "goes on": answer.text}


def _under(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, edit: Path, sae: Path
) -> Completion:
    with unlearned(model, edit, sae) as changed:
        return complete(changed, tokenizer, prompt)
