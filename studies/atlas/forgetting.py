"""What the edits of a finished ``unlearn`` forgot of a country and a region, on a sample of the test facts.

`evaluate` asks all of them, under every edit; this asks ``FACTS`` facts of each relation to the target (all of the
target's), in all their paraphrases, and completes a few prompts. No choice ever saw them.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import contents, read_json
from pipeline.core.kept import Kept, code_of
from pipeline.core.settings import read_section
from pipeline.corpus.targets import relations
from pipeline.evaluation.completions import all_completions
from pipeline.evaluation.forgetting import all_forgetting_figures
from pipeline.language_model.known import fact_of
from pipeline.unlearning.subject import open_subject

FACTS = 40  # of siblings, others and general ones each


def forgetting_rows(data: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A row for every method and target with its figures, then one for each target with the completions."""
    activations = at_layer(read_section(data / "params.yaml", ActivationsSettings, "activations"), data / "model")
    targets = read_json(data / "unlearning/targets.json")
    subject = open_subject(data / "model", data / "sae", data / "corpus", activations, targets, "cpu")
    inputs = contents(data / name for name in ("corpus", "model", "sae"))
    code = code_of("core", "corpus", "evaluation", "language_model", "sae", "unlearning")
    kept = Kept(data / "partial/sampled", [seed, FACTS, str(activations), code, inputs])
    for level, target in reversed(subject.targets.items()):  # the finest first
        asked = subject._replace(targets={level: target}, probes=some_facts(subject.probes, target, seed))
        for name, entry in all_forgetting_figures(asked, data / "unlearning", seed, kept).items():
            _, method, _ = name.split("/")
            figures = {"means": entry["means"], "stderrs": entry["stderrs"]}
            yield {"method": method, "level": level, "target": "/".join(target)} | figures
        yield {"level": level, "completions": all_completions(asked, data / "unlearning", seed)[level]}


def some_facts(probes: Sequence[dict], target: tuple[str, ...], seed: int) -> list[dict]:
    """Test questions and names to copy: all of the target, ``FACTS`` facts of each other relation, every paraphrase."""
    asked = [probe for probe in probes if probe["split"] in ("test", "copying")]
    facts: dict[tuple[str, str], dict[Any, None]] = {}
    for probe, relation in zip(asked, relations(asked, target), strict=True):
        facts.setdefault((relation, probe["split"]), {})[fact_of(probe)] = None
    drawn = set()
    for (relation, split), of in facts.items():
        whole = relation == "forget" or len(of) <= FACTS
        drawn |= set(of if whole else random.Random(f"{seed}|{relation}|{split}").sample(list(of), FACTS))
    return [probe for probe in asked if fact_of(probe) in drawn]
