"""Reads data/activations.zarr; writes data/sae: a SAELens folder with its training curves.

``torchrun --nproc-per-node=N -m stages.train_sae`` trains on N processes, each with its own share of the store.
"""

from contextlib import nullcontext
from pathlib import Path

from pipeline.activations.store import ActivationStore
from pipeline.core.files import building, write_sums
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.core.yaml_text import read_yaml
from pipeline.sae.build import build_dictionary
from pipeline.sae.distributed import from_first, join, rank
from pipeline.sae.settings import SAESettings
from stages import PARAMS, run


def main() -> str:
    seed = read_section(PARAMS, RunSettings, "run").seed
    machine = read_section(PARAMS, MachineSettings, "machine")
    settings = read_section(PARAMS, SAESettings, "sae")
    prepare_process(machine.threads)
    device = join(pick_device(machine.device))
    store = ActivationStore.open(Path("data/activations.zarr"))
    shaped_by = [settings.plain(), seed, dict(store.attributes), read_yaml(PARAMS)["dictionary"]]
    with building(Path("data/sae"), shaped_by) if rank() == 0 else nullcontext() as own:
        folder = Path(from_first(own and str(own)))
        final = build_dictionary(store, settings, machine, seed, device, folder)
        if rank() == 0:
            write_sums(folder)
    if not final:
        return f"process {rank()} took part"
    return (
        f"the {settings.pretrained or settings.architecture} dictionary explains {final['explained_variance']:.1%} of "
        f"the variance with {final['l0']:.1f} active latents per token; {final['dead_share']:.1%} never fire"
    )


if __name__ == "__main__":
    run("train_sae", main)
