"""The result tables of README.md, from the committed run in docs/run_7.

    uv run python -m benchmarks.readme_results

rewrites the part of README.md between the two `results` comments; a test compares both.
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN, README = ROOT / "docs" / "run_7", ROOT / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
STAGES = (
    "prepare",
    "cache_activations",
    "train_sae",
    "encode_features",
    "correlate",
    "build_dendrogram",
    "unlearn",
    "evaluate",
    "report",
)
SAE = {
    "explained_variance": "explained variance",
    "l0": "active latents per token (L0)",
    "dead_share": "share of latents that never fire",
    "ce_loss_recovered": "cross-entropy loss recovered",
    "spliced_cloze": "held-out cloze with the SAE spliced in",
}
METHODS = ("none", "flat_frequency", "level_cut", "subtree", "random_groups", "guard_flat", "grad_diff", "npo", "rmu")
COLUMNS = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop", "perplexity_ratio", "latents")


def results(run: Path) -> str:
    """The tables as Markdown."""
    info = json.loads((run / "final_info.json").read_text(encoding="utf-8"))
    times = {name: json.loads((run / "times" / f"{name}.json").read_text())["seconds"] for name in STAGES}
    return "\n\n".join([_model(info), _dictionary(info), *(_trade_off(info, level) for level in LEVELS), _times(times)])


LEVELS = ("domain", "topic", "entity")


def _model(info: dict) -> str:
    m = info["language_model"]["means"]
    return (
        f"The tiny model, after {m['training_tokens']:,.0f} training tokens, answers {m['heldout_cloze']:.1%} of the "
        f"facts in held-out paraphrases (cloze over the whole vocabulary), {m['heldout_mcq']:.1%} with four options, "
        f"and {m['general_facts']:.1%} of general facts; in wholly new templates {m['novel_cloze']:.1%} and "
        f"{m['novel_mcq']:.1%}."
    )


def _dictionary(info: dict) -> str:
    entry = info["sae"]
    rows = [f"| {label} | {_figure(entry, name)} |" for name, label in SAE.items()]
    return "\n".join(["| the SAE (BatchTopK, 1,024 latents, layer 1), on test text | |", "|---|---|", *rows])


def _trade_off(info: dict, level: str) -> str:
    kept = [c for c in COLUMNS if c in info[f"unlearning/subtree/{level}"]["means"]]
    head = [f"| forgetting one {level} | " + " | ".join(c.replace("_", " ") for c in kept) + " |"]
    head.append("|---" * (len(kept) + 1) + "|")
    rows = []
    for method in METHODS:
        entry = info.get(f"unlearning/{method}/{level}")
        if entry:
            rows.append(f"| `{method}` | " + " | ".join(_figure(entry, c) for c in kept) + " |")
    return "\n".join(head + rows)


def _figure(entry: dict, name: str) -> str:
    mean, stderr = entry["means"][name], entry["stderrs"].get(name)
    if name == "latents":
        return f"{mean:.0f}"
    digits = 1 if name.endswith("_drop") or name == "l0" else 3
    return f"{mean:.{digits}f}" + (f" ± {stderr:.{digits}f}" if stderr else "")


def _times(times: dict[str, float]) -> str:
    head = "| stage | " + " | ".join(times) + " | all |"
    rule = "|---" * (len(times) + 2) + "|"
    row = "| seconds | " + " | ".join(f"{s:.0f}" for s in times.values()) + f" | {sum(times.values()):.0f} |"
    return "\n".join([head, rule, row])


def block(readme: str) -> str:
    """The part of the README between the comments."""
    return readme.split(BEGIN)[1].split(END)[0].strip()


def main() -> None:
    readme = README.read_text(encoding="utf-8")
    README.write_text(readme.replace(block(readme), results(RUN)), encoding="utf-8")


if __name__ == "__main__":
    main()
