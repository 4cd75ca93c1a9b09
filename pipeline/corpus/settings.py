"""Where text and probes come from: the embedded world, local files, or data sets of the Hugging Face hub."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.settings import Count, CountOrZero, PositiveShare, Settings, require, shaped

FILE_FORMATS = (".jsonl", ".csv", ".parquet", ".txt")
WORLD_LEVELS = ("domain", "topic", "entity")
ATLAS_LEVELS = ("region", "country")
N_OPTIONS = 4  # of every question
CHANCE = 1 / N_OPTIONS


# A level names folders of data/unlearning; a node is named in params.yaml, where white space around it is lost.
Level = Annotated[str, shaped(r"\w[\w .-]*", "a name of letters, digits, spaces, dots, - and _")]
Node = Annotated[str, shaped(r"\S(.*\S)?", "a name, without white space at its ends")]


class Source(Settings):
    """Rows of one hub data set or one local file, all at one place of the tree of topics.

    Exactly one of ``dataset`` (a hub id; ``name`` is its configuration) and ``file`` is given. ``path`` is the place
    in the tree, from the coarsest level down; an empty path is general text. ``{block}`` in it counts blocks of
    ``lines_per_block`` consecutive rows, for files that group their rows in that way. ``documents`` of 0 takes all.
    """

    dataset: str = ""
    name: str | None = None
    revision: str | None = None
    split: str = "train"
    file: str = ""
    path: tuple[Node, ...] = ()
    lines_per_block: CountOrZero = 0
    documents: CountOrZero = 0
    min_characters: Count = 1
    kind: str = "text"

    @model_validator(mode="after")
    def _names_rows(self) -> Self:
        where = self.file or self.dataset or "a source"
        require(bool(self.dataset) != bool(self.file), f"{where}: give either `dataset` (a hub id) or `file`")
        known = not self.file or Path(self.file).suffix in FILE_FORMATS
        require(known, f"{where} must end in one of {', '.join(FILE_FORMATS)}")
        numbered = any("{block}" in node for node in self.path)
        alone = numbered != (self.lines_per_block > 0)
        require(not alone, f"{where}: `lines_per_block` and `{{block}}` in `path` need each other")
        return self


class TextSource(Source):
    """Documents: ``template`` names the columns; ``passage_characters`` cuts long ones (0: whole documents)."""

    template: str = "{text}"
    passage_characters: int = 0

    @model_validator(mode="after")
    def _long_passages(self) -> Self:
        length = self.passage_characters
        require(length == 0 or length >= 100, f"passage_characters is {length}; it must be 0 (whole) or 100 or more")
        return self


class ProbeSource(Source):
    """Questions: ``prompt`` names the columns and ends right before the answer.

    Without ``choices`` the ``answer`` column is free text. ``choices`` names one column that holds a list, or one
    column for each option; ``answer`` is then the option's number from 0, its letter, or its text. A prompt with
    ``{choices}`` shows lettered options and asks for the letter, as MMLU does.
    """

    prompt: str = "Question: {question} Answer:"
    answer: str = "answer"
    choices: tuple[str, ...] = ()
    kind: str = "question"

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        shown = "{choices}" in self.prompt
        require(not shown or bool(self.choices), "a prompt with {choices} needs `choices`, the options' columns")
        require(self.prompt == self.prompt.rstrip(), "a prompt must not end in a space: one is put before the answer")
        return self


class CorpusSettings(Settings):
    """Section ``corpus``.

    The three lists are read when ``source`` is ``files``; relative files lie in ``folder``.
    """

    source: Literal["world", "files", "atlas"]
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    folder: str
    training_text: tuple[TextSource, ...]
    texts: tuple[TextSource, ...]
    probes: tuple[ProbeSource, ...]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        require(len(set(self.levels)) == len(self.levels), f"levels names one twice: {', '.join(self.levels)}")
        if self.source == "files":
            self._check_files()
        atlas = self.source == "atlas"
        require(not atlas or self.levels == ATLAS_LEVELS, f"levels of the atlas are {', '.join(ATLAS_LEVELS)}")
        return self

    def _check_files(self) -> None:
        for key in ("training_text", "texts", "probes"):
            require(len(getattr(self, key)) > 0, f"{key} is empty; `source: files` needs at least one source there")
        for source in self.sources():
            deep = len(source.path) > len(self.levels)
            where = source.file or source.dataset
            require(not deep, f"{where}: path has {len(source.path)} nodes, but there are {len(self.levels)} levels")

    def sources(self) -> tuple[Source, ...]:
        """All sources of the three lists, in order; none for the embedded world."""
        return (*self.training_text, *self.texts, *self.probes) if self.source == "files" else ()


Branches = Annotated[int, Field(ge=2, le=64)]


class WorldSettings(Settings):
    """Section ``world``: the size of the fictional knowledge base, how entangled it is, how much text it makes."""

    domains: Branches
    topics_per_domain: Branches
    entities_per_topic: Branches
    first_name_uses: Count
    last_name_uses: Count
    labelled_share: PositiveShare
    training_tokens: Annotated[int, Field(ge=1000)]

    def nodes(self) -> dict[str, int]:
        """Level -> how many nodes it has."""
        topics = self.domains * self.topics_per_domain
        return {"domain": self.domains, "topic": topics, "entity": topics * self.entities_per_topic}


class AtlasSettings(Settings):
    """Section ``atlas``: real countries. A place is a folder or ``package:<name>/<folder inside the package>``."""

    factbook: str
    articles: str
    tables: str
    fewest_facts: Annotated[int, Field(ge=5)]
    passage_characters: Annotated[int, Field(ge=100)]
    most_passages: Annotated[int, Field(ge=5)]
    most_articles: Annotated[int, Field(ge=10)]
