"""params.yaml and the overlays of a run become one checked configuration, complete with every value."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.faults import did_you_mean
from pipeline.core.processes import MachineSettings
from pipeline.core.settings import RunSettings, Settings, parse
from pipeline.core.yaml_text import read_yaml
from pipeline.corpus.settings import WORLD_LEVELS, AtlasSettings, CorpusSettings, WorldSettings
from pipeline.corpus.targets import check_declared, choose_targets
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.language_model.settings import LanguageModelSettings
from pipeline.report.settings import ReportSettings
from pipeline.sae.settings import SAESettings
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.settings import CorrelationSettings, DendrogramSettings
from pipeline.unlearning.settings import UnlearningSettings


class Params(Settings):
    """The whole configuration: one field per section, in the order in which the stages read them."""

    run: RunSettings
    machine: MachineSettings
    corpus: CorpusSettings
    world: WorldSettings
    atlas: AtlasSettings
    language_model: LanguageModelSettings
    activations: ActivationsSettings
    sae: SAESettings
    correlation: CorrelationSettings
    dendrogram: DendrogramSettings
    scope: ScopeSettings
    unlearning: UnlearningSettings
    evaluation: EvaluationSettings
    report: ReportSettings


class Layer(NamedTuple):
    """Some settings and where they stand; a later layer's keys win."""

    path: Path
    keys: dict[str, Any]


class Resolved(NamedTuple):
    """A checked configuration and the sentence that says what it was made of."""

    params: Params
    sentence: str


def resolve(
    params_file: Path, overlay_dir: Path, name: str | None, overrides: Sequence[Mapping[str, Any]] = ()
) -> Resolved:
    """``params_file`` under the overlay ``<overlay_dir>/<name>.yaml``, if there is one, and those that it extends.

    ``overrides`` come last, in their order: what a program changes, as a study does from seed to seed.
    """
    base = Layer(params_file, _sections(read_yaml(params_file)))
    overlays = []
    if name is not None and (overlay_dir / f"{name}.yaml").exists():
        overlays = read_overlays(overlay_dir, name)
    last = [Layer(Path(f"override {i}"), _sections(keys)) for i, keys in enumerate(overrides, start=1)]
    params = _check([base, *overlays, *last])
    return Resolved(params, _sentence(base, overlays, overlay_dir, name))


def read_overlays(overlay_dir: Path, name: str, chain: tuple[str, ...] = ()) -> list[Layer]:
    """An overlay behind all that it extends, in the order of application, each once."""
    path = overlay_dir / f"{name}.yaml"
    if name in chain:
        raise PipelineError(f"{path} extends itself: {' -> '.join((*chain, name))}; remove one `extends`")
    keys = read_yaml(path)
    extends = keys.pop("extends", None) or []
    if not isinstance(extends, list) or not all(isinstance(other, str) for other in extends):
        raise PipelineError(f"{path}: `extends` is {extends!r}; it must be a list of names of files in {overlay_dir}/")
    layers: list[Layer] = []
    for other in extends:
        if not (overlay_dir / f"{other}.yaml").exists():
            known = (found.stem for found in overlay_dir.glob("*.yaml"))
            raise PipelineError(f"{path} extends `{other}`, which is not in {overlay_dir}/{did_you_mean(other, known)}")
        layers += [layer for layer in read_overlays(overlay_dir, other, (*chain, name)) if layer not in layers]
    return [*layers, Layer(path, _sections(keys))]


def merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key; anything else in ``above`` replaces what is below, lists too."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = merge(under, value) if isinstance(value, Mapping) and isinstance(under, dict) else value
    return merged


def check_together(params: Params) -> None:
    """Refuse what no section can see by itself."""
    if params.language_model.source == "train":
        check_layers(params.activations, params.language_model.tiny.layers, "the model trained here")
    if params.activations.layer == "auto" and not params.language_model.layer_sweep:
        raise PipelineError("`activations.layer` is auto, which needs `language_model.layer_sweep: true`")
    tokens, context = params.machine.batch_tokens, params.activations.context_length
    if tokens < context:
        raise PipelineError(f"`machine.batch_tokens` is {tokens}; it must hold one context of {context} tokens")
    most, d_sae = max(params.evaluation.k_values), params.sae.d_sae
    if params.sae.pretrained is None and most > d_sae:
        raise PipelineError(f"`evaluation.k_values` asks for {most} latents, but `sae.d_sae` is {d_sae}")
    for key in ("targets", "more_methods"):
        for level in getattr(params.unlearning, key):  # an overlay with other levels inherits the world's
            if level not in (*params.corpus.levels, *WORLD_LEVELS):
                close = did_you_mean(level, params.corpus.levels)
                raise PipelineError(f"`unlearning.{key}` names the level `{level}`, which `corpus.levels` lacks{close}")
    check_targets(params)


def check_for_all_stages(params: Params) -> None:
    """Refuse what stops only a late stage: store, dictionary and tree can be made of any hook point."""
    site = params.activations.site
    if site != "resid_post":
        raise PipelineError(
            f"`activations.site` is {site}, but unlearning edits resid_post: set it to that, and list others "
            f"in `activations.also`; `uv run dvc repro build_dendrogram` makes the tree of {site} alone"
        )


def check_targets(params: Params) -> None:
    """Refuse before any stage runs a target that the corpus lacks, as far as its settings tell.

    They tell all of the embedded world, and of the atlas what the Factbook holds, which stage `params` reads. Of files
    and data sets they tell the names of the nodes; how many numbered blocks there are is seen when `prepare` has read
    them.
    """
    targets, world = params.unlearning.targets, params.world
    if params.corpus.source == "files":
        check_declared(params.corpus.levels, [source.path for source in params.corpus.sources()], targets)
        return
    if params.corpus.source == "atlas":
        return
    for level, nodes in world.nodes().items():
        number = targets.get(level, 0)
        if isinstance(number, int) and number >= nodes:
            raise PipelineError(
                f"`unlearning.targets.{level}` is {number}, but this world has {nodes} nodes of that level, "
                f"numbered from 0; choose 0 to {nodes - 1}"
            )
    from pipeline.corpus.world.knowledge import make_world

    choose_targets(make_world(world, params.run.seed).nodes(), targets)  # some worlds cannot be made


def check_layers(activations: ActivationsSettings, n_layers: int, model: str) -> None:
    """Refuse a hook point beyond the last layer of the model."""
    layer = 0 if activations.layer == "auto" else activations.layer  # a sweep never takes one that is not there
    last = max([layer, *(int(name.split(".")[1]) for name in activations.also)])
    if last >= n_layers:
        raise PipelineError(
            f"`activations.layer` is {last}, but {model} has {n_layers} layers; it must be 0 to {n_layers - 1}"
        )


def _sections(keys: Mapping[str, Any]) -> dict[str, Any]:
    """A section whose keys are all commented out reads as null; it is an empty section."""
    return {key: {} if value is None else value for key, value in keys.items()}


def _check(layers: list[Layer]) -> Params:
    """The merged layers as ``Params``; an error names the file that brought it."""
    merged: dict[str, Any] = {}
    errors: list[str | None] = []
    for layer in layers:
        merged = merge(merged, layer.keys)
        try:
            params = parse(Params, merged, "")
            check_together(params)
            errors.append(None)
        except PipelineError as error:
            errors.append(str(error))
    if errors[-1] is None:  # what only a layer between refused does not matter
        return params
    culprit = layers[errors.index(errors[-1])].path
    raise PipelineError(f"{culprit}: {errors[-1]}")


def _sentence(base: Layer, overlays: list[Layer], overlay_dir: Path, name: str | None) -> str:
    if name is None:
        return f"configuration: {base.path} as it is (no run is selected)"
    if not overlays:
        return f"configuration of {name}: {base.path} as it is (there is no {overlay_dir / name}.yaml)"
    below = "".join(f" and {layer.path}" for layer in overlays[:-1])
    return f"configuration of {name}: {base.path}{below}, with {overlays[-1].path} applied"
