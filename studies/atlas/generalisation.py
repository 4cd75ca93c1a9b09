"""How far does forgetting reach? Kinds of question that neither training nor choosing has seen, under a run's edits.

    reversed      "A city in Italy is": the named facts asked from the other side
    two-hop       "The capital of the country where Naples lies is",
                  "The currency of the country whose capital is Rome is the"
    fr, de, es    "Naples est une ville de ce pays :", options in that language (names of countries from CLDR, by babel)

Every country is asked; what the unedited model answers wrongly says nothing and is left out. Four options each, those
of the question in the corpus that asks for the same answer.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.settings import read_section
from pipeline.corpus.settings import N_OPTIONS
from pipeline.corpus.targets import relations
from pipeline.evaluation.edits import open_edit
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.subject import open_subject

LEVEL = "country"
MOST = 60  # questions of a kind on siblings, and on others
REVERSED = {
    "city": "A city in {} is",
    "landmark in country": "A sight in {} is",
    "capital of": "A famous city of {} is",
}
THROUGH_CITY = "The capital of the country where {} lies is"
THROUGH_CAPITAL = {
    "currency": "The currency of the country whose capital is {} is the",
    "language": "The official language of the country whose capital is {} is",
}
LANGUAGES = {
    "fr": "{} est une ville de ce pays :",
    "de": "{} ist eine Stadt in diesem Land:",
    "es": "{} es una ciudad de este país:",
}
Probe = dict[str, Any]


def generalisation_rows(data: Path, seed: int) -> Iterator[dict[str, Any]]:
    """For every edit of the run's country, by relation and kind of question, the share still right and how many."""
    activations = at_layer(read_section(data / "params.yaml", ActivationsSettings, "activations"), data / "model")
    chosen = read_json(data / "unlearning/targets.json")
    subject = open_subject(data / "model", data / "sae", data / "corpus", activations, chosen, "cpu")
    target = subject.targets[LEVEL]
    bench = subject.bench(some(questions(subject.probes, seed), target, seed), [])
    nothing = no_edit(LEVEL, target, subject.layer)
    known_q = bench.measure(nothing).choice_q > 0
    of_probe, kinds = relations(bench.probes, target), [probe["kind"] for probe in bench.probes]
    cells = sorted(path.parent for path in (data / "unlearning").glob(f"*/{LEVEL}/edit.json"))
    edits = {cell.parent.name: open_edit(cell, subject, target) for cell in cells}
    for method, edit in {"none": nothing, **edits}.items():
        right_q, shares = bench.measure(edit).choice_q, {}
        for relation in ("forget", "sibling", "other"):
            for kind in dict.fromkeys(kinds):
                of = torch.tensor([(a, b) == (relation, kind) for a, b in zip(of_probe, kinds, strict=True)])
                asked = of & known_q
                if asked.any():
                    share = right_q[asked].mean().item()
                    shares[f"{relation}/{kind}"] = {"right": share, "known": int(asked.sum()), "asked": int(of.sum())}
        yield {"method": method, "target": "/".join(target), "shares": shares}


def questions(probes: Sequence[Probe], seed: int) -> list[Probe]:
    """All kinds of question about every country, from the facts in the corpus, one for each fact."""
    facts = list({(p["fact"], p["relation"]): p for p in probes if p["path"] and p["relation"] != "copying"}.values())
    return [*_reversed(facts, seed), *_two_hop(facts), *_translated(facts)]


def some(asked: Sequence[Probe], target: tuple[str, ...], seed: int) -> list[Probe]:
    """All questions about the target, and a draw of those about siblings and others, of each kind."""
    rng, pools = random.Random(seed), {}
    for probe, relation in zip(asked, relations(asked, target), strict=True):
        pools.setdefault((relation, probe["kind"]), []).append(probe)
    return [
        probe
        for (relation, _), pool in pools.items()
        for probe in (pool if relation == "forget" else rng.sample(pool, min(MOST, len(pool))))
    ]


def _probe(fact: Probe, kind: str, prompt: str, answer: str, options: Sequence[str]) -> Probe:
    return {"kind": kind, "prompt": prompt, "answer": answer, "options": list(options), "path": fact["path"]}


def _reversed(facts: Sequence[Probe], seed: int) -> Iterator[Probe]:
    """A wrong option is a subject of the same relation of a country that is an option of the fact."""
    in_text = {fact["path"][-1]: fact["subject"] for fact in facts if fact["relation"] == "capital"}
    for fact in facts:
        if fact["relation"] in REVERSED and fact["path"][-1] in in_text:
            rng = random.Random(f"{seed}|{fact['fact']}")
            pool = [f for f in facts if f["relation"] == fact["relation"] and f["answer"] in fact["options"]]
            wrong = [f["subject"] for f in rng.sample(pool, len(pool)) if f["answer"] != fact["answer"]]
            options = [fact["subject"], *dict.fromkeys(wrong)][:N_OPTIONS]
            if len(options) == N_OPTIONS:
                prompt = REVERSED[fact["relation"]].format(in_text[fact["path"][-1]])
                yield _probe(fact, "reversed", prompt, fact["subject"], rng.sample(options, N_OPTIONS))


def _two_hop(facts: Sequence[Probe]) -> Iterator[Probe]:
    of = {(fact["relation"], tuple(fact["path"])): fact for fact in facts}
    for fact in facts:
        path = tuple(fact["path"])
        capital = of.get(("capital", path))
        if capital is None:
            continue
        if fact["relation"] == "city":
            prompt = THROUGH_CITY.format(fact["subject"])
            yield _probe(fact, "two-hop", prompt, capital["answer"], capital["options"])
        if fact["relation"] in THROUGH_CAPITAL:
            prompt = THROUGH_CAPITAL[fact["relation"]].format(capital["answer"])
            yield _probe(fact, "two-hop", prompt, fact["answer"], fact["options"])


def _translated(facts: Sequence[Probe]) -> Iterator[Probe]:
    cities = [fact for fact in facts if fact["relation"] in ("city", "capital of")]
    for language, frame in LANGUAGES.items():
        named = country_names(language)
        for fact in cities:
            options = [named(option) for option in fact["options"]]
            if None not in options:
                yield _probe(fact, language, frame.format(fact["subject"]), named(fact["answer"]) or "", options)


def country_names(language: str) -> Callable[[str], str | None]:
    """A country's English name -> its name in a language, None where CLDR calls it otherwise in English."""
    try:
        from babel import Locale
    except ModuleNotFoundError:
        door = "uv run --group gemma --with babel python -m studies.atlas generalisation"
        raise PipelineError(f"names of countries come from babel, which is missing; use `{door}`") from None
    english, other = Locale("en").territories, Locale(language).territories
    codes = {name: code for code, name in english.items() if len(code) == 2}
    return lambda name: other[codes[name]] if name in codes else None
