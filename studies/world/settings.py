"""The study: which cells (seed, level, node, method) are computed; study.yaml beside this file says it."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.core.settings import Count, CountOrZero, Settings, parse, require
from pipeline.core.yaml_text import read_yaml
from pipeline.unlearning.settings import Method

FILE = Path(__file__).with_name("study.yaml")
Nodes = tuple[CountOrZero, ...]
Methods = tuple[Method, ...]


class StudySettings(Settings):
    """What study.yaml holds. Nodes are numbers in order of first appearance."""

    seeds: Annotated[tuple[CountOrZero, ...], Field(min_length=1)]
    headline_seeds: tuple[CountOrZero, ...]
    nodes: dict[str, Nodes]
    methods: dict[str, Methods]
    wide_topics: Nodes
    wide_methods: Methods
    random_dictionary_methods: Methods
    curve_topics: Nodes
    curve_methods: Methods
    few_shot_topics: Nodes
    few_shot_given: tuple[Count, ...]
    reach_topics: Nodes
    reach_given: tuple[Count, ...]
    relearning_topics: Nodes
    relearning_methods: Methods
    by_turns: tuple[str, ...]
    workers: Count

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        lacking = sorted(set(self.nodes) - set(self.methods))
        require(not lacking, f"methods says nothing of the level {', '.join(lacking)}, which nodes has")
        names = {"twins", "cut", "curve", *self.nodes}
        strange = sorted(set(self.by_turns) - names)
        require(not strange, f"by_turns names {', '.join(strange)}; it may name {', '.join(sorted(names))}")
        return self


def read_study(file: Path = FILE) -> StudySettings:
    """The study's settings, checked."""
    return parse(StudySettings, read_yaml(file), "")
