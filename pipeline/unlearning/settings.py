"""Which methods forget which targets, what each one sweeps on the dev split, and how those that train are trained."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from pipeline.core.faults import did_you_mean
from pipeline.core.settings import Count, CountOrZero, NotNegative, Positive, Settings, Share, require
from pipeline.corpus.targets import COPYING
from pipeline.scope.names import RETRIEVERS
from pipeline.unlearning.methods import METHODS

Retained = Literal["sibling", "other", "general"]
RETAINED = ("sibling", "other", "general")
Term = Literal["uniform", "hinge", "entropy"]


def _name_of(what: str, known: Collection[str]) -> AfterValidator:
    """A name in a table of the code."""

    def check(name: str) -> str:
        if name not in known:
            about = {"what": what, "nearest": did_you_mean(name, known)}
            raise PydanticCustomError("name", "it must be the name of a {what}{nearest}", about)
        return name

    return AfterValidator(check)


def _node(value: object) -> int | str | tuple[str, ...]:
    names = value if isinstance(value, tuple) else (value,)
    number = type(value) is int and value >= 0
    if not number and not (names and all(isinstance(name, str) and name for name in names)):
        raise PydanticCustomError("node", "it must be a node's name, its path [name, name], or its number from 0")
    return value


Method = Annotated[str, _name_of("method", METHODS)]
Retriever = Annotated[str, _name_of("retriever", RETRIEVERS)]
Node = Annotated[int | str | tuple[str, ...], PlainValidator(_node)]
Sweep = Annotated[tuple[NotNegative, ...], Field(min_length=1)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1)]
Strengths = Annotated[tuple[Positive, ...], Field(min_length=1)]
TrainedWeights = Literal["all", "layers", "mlps"]


class BatchSettings(Settings):
    """Probes of a batch, of about 16 tokens each; a longer text stands for as many as fit in it."""

    forget: Count
    retain: dict[Retained, Count]

    @model_validator(mode="after")
    def _retains_all(self) -> Self:
        _has_all("retain", self.retain, RETAINED)
        return self

    def kept(self, relation: str) -> int:
        """How many of a relation; sentences that only repeat the target's name are as many as questions on siblings."""
        return self.retain["sibling" if relation == COPYING else relation]


class PhaseSettings(Settings):
    """Section ``unlearning.grad_ascent``, and what all training of weights has: forgetting, then calibration."""

    learning_rate: Positive
    steps: Count
    calibration_steps: CountOrZero


class TrainingSettings(PhaseSettings):
    """Sections ``unlearning.npo``, ``scope_npo``, ``grad_diff`` and ``rmu``: the rest is held while they forget."""

    retain_weight: NotNegative


class AttackedSettings(TrainingSettings):
    """Sections ``unlearning.npo_attacked`` and ``group_adapter``: an attacker relearns the target meanwhile."""

    attack_steps: Count


class FewShotSettings(Settings):
    """Section ``unlearning.few_shot``: what ``scope_npo`` is given and how it finds the rest."""

    given: Count
    documents: Count
    retriever: Retriever


class GateSettings(Settings):
    """Section ``unlearning.gates``: how learned gates are trained, on nodes and on single latents."""

    steps: Count
    strengths: Strengths
    batch: BatchSettings
    forget_terms: dict[Term, NotNegative]
    retain_weight: NotNegative

    @model_validator(mode="after")
    def _forgets(self) -> Self:
        _has_all("forget_terms", self.forget_terms, ("uniform", "hinge", "entropy"))
        require(max(self.forget_terms.values()) > 0, "forget_terms are all 0; nothing would be forgotten")
        return self


class GateSweep(Settings):
    """Sections ``unlearning.gates_flat`` and ``gates_tree``: what differs between the two."""

    learning_rates: Strengths
    sparsity: NotNegative


class UnlearningSettings(Settings):
    """Section ``unlearning``.

    ``targets`` says what to forget, one node for each level of interest: its name, its path, or its number in order of
    first appearance in the corpus. An overlay whose corpus has other levels inherits the targets of the world's levels;
    they are left out. ``methods`` forget the targets of every level, ``more_methods`` those of one level besides.
    """

    targets: dict[str, Node]
    methods: Annotated[tuple[Method, ...], Field(min_length=1)]
    more_methods: dict[str, tuple[Method, ...]]
    tree_scale: dict[str, Literal["token", "document"]]
    multipliers: Sweep
    mean_ablation: bool
    latents: Counts
    retain_rates: Sweep
    frequency_constants: Sweep
    text_shares: Annotated[tuple[Share, ...], Field(min_length=1)]
    ratio_percentiles: Annotated[tuple[Annotated[float, Field(ge=0, le=100)], ...], Field(min_length=1)]
    magnitude_ratios: Sweep
    groups: Counts
    worths: Annotated[tuple[Literal["firing", "effect", "both"], ...], Field(min_length=1)]
    retain_weights: Sweep
    node_cost: NotNegative
    guard_multipliers: Sweep
    vector_multipliers: Sweep
    dev_probes: Count
    dev_texts: Count
    first_look: Count | None
    strengths: Strengths
    trained_weights: TrainedWeights
    batch: BatchSettings
    npo: TrainingSettings
    scope_npo: TrainingSettings
    few_shot: FewShotSettings
    grad_diff: TrainingSettings
    grad_ascent: PhaseSettings
    rmu: TrainingSettings
    npo_attacked: AttackedSettings
    group_adapter: AttackedSettings
    gates: GateSettings
    gates_tree: GateSweep
    gates_flat: GateSweep

    def methods_at(self, level: str) -> tuple[str, ...]:
        """What forgets the target of one level, each method once."""
        return tuple(dict.fromkeys((*self.methods, *self.more_methods.get(level, ()))))


def _has_all(key: str, found: dict[str, object], names: tuple[str, ...]) -> None:
    lacking = [name for name in names if name not in found]
    require(not lacking, f"{key} lacks {', '.join(lacking)}")
