"""Where text and probes come from: the embedded world, local files, or data sets of the Hugging Face hub.

Settings of the embedded world.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core.settings import require

FILE_FORMATS = (".jsonl", ".csv", ".parquet", ".txt")
WORLD_LEVELS = ("domain", "topic", "entity")


@dataclass(frozen=True)
class Source:
    """Rows of one hub data set or one local file, all at one place of the tree of topics.

    Exactly one of ``dataset`` (a hub id; ``name`` is its configuration) and ``file`` is given. ``path`` is the place
    in the tree, from the coarsest level down; an empty path is general text. ``{block}`` in it counts blocks of
    ``lines_per_block`` consecutive rows, for files that group their rows in that way.
    """

    dataset: str = ""
    name: str | None = None
    revision: str | None = None
    split: str = "train"
    file: str = ""
    path: tuple[str, ...] = ()
    lines_per_block: int = 0
    documents: int = 0
    min_characters: int = 1
    kind: str = "text"

    def __post_init__(self) -> None:
        where = self.file or self.dataset or "a source"
        require(bool(self.dataset) != bool(self.file), f"{where}: give either `dataset` (a hub id) or `file`")
        known = not self.file or Path(self.file).suffix in FILE_FORMATS
        require(known, f"{where} must end in one of {', '.join(FILE_FORMATS)}")
        require(self.documents >= 0, f"{where}: documents is {self.documents}; it must be 0 (all) or more")
        require(self.min_characters >= 1, f"{where}: min_characters is {self.min_characters}; it must be 1 or more")
        require(self.lines_per_block >= 0, f"{where}: lines_per_block is {self.lines_per_block}; it must be 0 or more")
        numbered = any("{block}" in node for node in self.path)
        require(
            numbered == (self.lines_per_block > 0),
            f"{where}: `lines_per_block` and `{{block}}` in `path` need each other",
        )


@dataclass(frozen=True)
class TextSource(Source):
    """Documents: ``template`` names the columns; ``passage_characters`` cuts long ones (0: whole documents)."""

    template: str = "{text}"
    passage_characters: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        length = self.passage_characters
        require(length == 0 or length >= 100, f"passage_characters is {length}; it must be 0 (whole) or 100 or more")


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        shown = "{choices}" in self.prompt
        require(not shown or bool(self.choices), "a prompt with {choices} needs `choices`, the options' columns")
        require(self.prompt == self.prompt.rstrip(), "a prompt must not end in a space: one is put before the answer")


@dataclass(frozen=True)
class CorpusSettings:
    """Section ``corpus``.

    The three lists are read when ``source`` is ``files``; relative files lie in ``folder``.
    """

    source: Literal["world", "files"] = "world"
    levels: tuple[str, ...] = WORLD_LEVELS
    folder: str = ""
    training_text: tuple[TextSource, ...] = ()
    texts: tuple[TextSource, ...] = ()
    probes: tuple[ProbeSource, ...] = ()

    def __post_init__(self) -> None:
        require(len(self.levels) > 0, "levels is empty; name at least one level of the tree")
        require(len(set(self.levels)) == len(self.levels), f"levels names one twice: {', '.join(self.levels)}")
        if self.source == "files":
            self._check_files()

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


@dataclass(frozen=True)
class WorldSettings:
    """Section ``world``: the size of the fictional knowledge base, how entangled it is, how much text it makes."""

    domains: int = 4
    topics_per_domain: int = 4
    entities_per_topic: int = 8
    first_name_uses: int = 4
    last_name_uses: int = 1
    domain_values: int = 12
    topic_values: int = 8
    common_values: int = 16
    labelled_share: float = 1.0
    training_tokens: int = 400_000
    general_share: float = 0.35

    def __post_init__(self) -> None:
        for key in ("domains", "topics_per_domain", "entities_per_topic"):
            require(2 <= getattr(self, key) <= 64, f"{key} is {getattr(self, key)}; it must be 2 to 64")
        for key in ("first_name_uses", "last_name_uses"):
            require(getattr(self, key) >= 1, f"{key} is {getattr(self, key)}; it must be 1 or more")
        for key in ("domain_values", "topic_values", "common_values"):
            require(getattr(self, key) >= 4, f"{key} is {getattr(self, key)}; four answer options need at least 4")
        require(0 < self.labelled_share <= 1, f"labelled_share is {self.labelled_share}; it must be in (0, 1]")
        require(0 < self.general_share < 1, f"general_share is {self.general_share}; it must be between 0 and 1")
        require(self.training_tokens >= 1000, f"training_tokens is {self.training_tokens}; it must be 1000 or more")

    def nodes(self) -> dict[str, int]:
        """Level -> how many nodes it has."""
        topics = self.domains * self.topics_per_domain
        return {"domain": self.domains, "topic": topics, "entity": topics * self.entities_per_topic}
