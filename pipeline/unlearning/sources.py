"""What there is to choose: methods on targets, and where lies what they look at. Light to import."""

from pathlib import Path
from typing import NamedTuple

from pipeline.settings.activations import ActivationsSettings
from pipeline.settings.run import RunSettings
from pipeline.settings.scope import ScopeSettings
from pipeline.settings.unlearning import UnlearningSettings


class Sources(NamedTuple):
    """Where everything lies that a method is given, and the settings it is opened with."""

    model: Path
    sae: Path
    corpus: Path
    dendrogram: Path
    run: RunSettings
    activations: ActivationsSettings
    scope: ScopeSettings
    unlearning: UnlearningSettings


class Cell(NamedTuple):
    """One method on the target of one level, and the folder of its edit."""

    level: str
    method: str
    folder: Path
