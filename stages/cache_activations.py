"""Run the model's lower layers over the training text; writes data/activations.zarr."""

from pathlib import Path

from pipeline.activations.build import build_store
from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from stages import PARAMS, run


def main() -> str:
    seed = read_section(PARAMS, RunSettings, "run").seed
    machine = read_section(PARAMS, MachineSettings, "machine")
    settings = at_layer(read_section(PARAMS, ActivationsSettings, "activations"), Path("data/model"))
    prepare_process(machine.threads)
    build_store(
        Path("data/activations.zarr"),
        Path("data/corpus/train.jsonl"),
        Path("data/model"),
        settings,
        machine,
        source=read_json(Path("data/corpus/corpus.json"))["source"],
        seed=seed,
        device=pick_device(machine.device),
    )
    store = ActivationStore.open(Path("data/activations.zarr"))
    return (
        f"the store holds {store.n_tokens:,} tokens of {store.attributes['hook_point']}, {store.d_model} numbers each, "
        f"in {len(store.windows)} windows; their mean norm is {store.mean_norm:.1f}"
    )


if __name__ == "__main__":
    run("cache_activations", main)
