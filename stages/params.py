"""params.yaml and the selected run's overlay become data/params.yaml, checked and complete, before any stage runs."""

from pathlib import Path

from pipeline.core.files import contents, write_text
from pipeline.core.yaml_text import as_yaml
from pipeline.corpus.atlas.write import atlas_inputs, open_atlas
from pipeline.corpus.sources import check_sources, is_folder, local_files
from pipeline.corpus.targets import choose_targets
from pipeline.language_model.checks import check_model, home, layer_count
from pipeline.language_model.gguf_source import check_gguf, fingerprint_gguf, is_gguf
from pipeline.params import Params, check_layers, resolve
from stages import PARAMS, run

SELECTED_RUN = Path("data/run")  # written by experiment.py; without it, params.yaml as it is


def main() -> str:
    name = (SELECTED_RUN.read_text(encoding="utf-8").strip() or None) if SELECTED_RUN.exists() else None
    resolved = resolve(Path("params.yaml"), Path("runs"), name)
    print(resolved.sentence, flush=True)
    params, model = resolved.params, resolved.params.language_model
    check_sources(params.corpus, "train" if is_gguf(model.source) else model.source, model.revision)
    inputs = local_files(params.corpus)
    dictionary = [home(params.sae.pretrained)] if params.sae.pretrained else []
    if model.source != "train" and not is_gguf(model.source):
        check_model(model.source, model.revision, params.activations.context_length)
        n_layers = layer_count(model.source, model.revision)
        if n_layers is not None:
            check_layers(params.activations, n_layers, model.source)
        if is_folder(model.source):
            inputs.append(Path(model.source).expanduser())
    held = contents(inputs) | from_packages(params)
    local = {"inputs": held, "dictionary": contents(path for path in dictionary if path.exists())}
    write_text(PARAMS, as_yaml({**params.plain(), **local, "name": name or ""}))  # only the report lists the name
    return f"the configuration is valid and stands in {PARAMS}"


def from_packages(params: Params) -> dict[str, str]:
    """What the atlas and a GGUF model hold, which may come in packages; refused where `prepare` could not use them."""
    inputs = {}
    if params.corpus.source == "atlas":
        inputs |= atlas_inputs(params.atlas)
        choose_targets(open_atlas(params.atlas, params.run.seed).nodes(), params.unlearning.targets)
    source = params.language_model.source
    if is_gguf(source):
        check_layers(params.activations, check_gguf(source).layers, source)
        inputs |= fingerprint_gguf(source)
    return inputs


if __name__ == "__main__":
    run("params", main)
