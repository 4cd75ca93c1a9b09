"""The study: which cells (seed, level, node, method) are computed; study.yaml beside this file says it."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.settings import parse, read_yaml, require
from pipeline.unlearning.settings import Method


FILE = Path(__file__).with_name("study.yaml")


@dataclass(frozen=True)
class StudySettings:
    """Section ``study``, read by ``studies.world`` alone. Nodes are numbers in order of first appearance."""

    seeds: tuple[int, ...] = (0,)
    headline_seeds: tuple[int, ...] = ()
    nodes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"topic": (5,)})
    methods: dict[str, tuple[Method, ...]] = field(default_factory=lambda: {"topic": ("npo",)})
    wide_topics: tuple[int, ...] = ()
    wide_methods: tuple[Method, ...] = ()
    random_dictionary_methods: tuple[Method, ...] = ()
    curve_topics: tuple[int, ...] = ()
    curve_methods: tuple[Method, ...] = ()
    few_shot_topics: tuple[int, ...] = ()
    few_shot_given: tuple[int, ...] = (2,)
    reach_topics: tuple[int, ...] = ()
    reach_given: tuple[int, ...] = (2,)
    relearning_topics: tuple[int, ...] = ()
    relearning_methods: tuple[Method, ...] = ("npo",)
    by_turns: tuple[str, ...] = ()
    workers: int = 1

    def __post_init__(self) -> None:
        require(len(self.seeds) > 0, "seeds is empty; name at least one")
        require(self.workers >= 1, f"workers is {self.workers}; it must be 1 or more")
        lacking = sorted(set(self.nodes) - set(self.methods))
        require(not lacking, f"methods says nothing of the level {', '.join(lacking)}, which nodes has")
        names = {"twins", "cut", "curve", *self.nodes}
        strange = sorted(set(self.by_turns) - names)
        require(not strange, f"by_turns names {', '.join(strange)}; it may name {', '.join(sorted(names))}")
        numbers = [*self.wide_topics, *self.curve_topics, *self.few_shot_topics, *self.relearning_topics]
        numbers += [*self.reach_topics, *(n for some in self.nodes.values() for n in some)]
        require(min(numbers, default=0) >= 0, "a node's number must be 0 or more")
        for key in ("few_shot_given", "reach_given"):
            require(min(getattr(self, key), default=1) >= 1, f"{key} holds a number below 1")


def read_study(file: Path = FILE) -> StudySettings:
    """The study's settings, checked."""
    return parse(StudySettings, read_yaml(file), "")
