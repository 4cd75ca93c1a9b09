"""The layer that ``activations.layer: auto`` stands for, as `prepare` found it with ``language_model.layer_sweep``."""

from pathlib import Path

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json


def at_layer(settings: ActivationsSettings, model_dir: Path) -> ActivationsSettings:
    """The settings with the number of a layer: their own, or the one that reads best (``layers.json``)."""
    if settings.layer != "auto":
        return settings
    file = model_dir / "layers.json"
    if not file.exists():
        raise PipelineError(f"`activations.layer` is auto, but {file} is missing; run `uv run dvc repro prepare`")
    return settings.but(layer=read_json(file)["best"])
