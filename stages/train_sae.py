"""Reads data/activations.zarr; writes data/sae: a SAELens folder with its training curves.

``torchrun --nproc-per-node=N -m stages.train_sae`` trains on N processes, each with its own share of the store.
"""

import dataclasses
from contextlib import nullcontext
from pathlib import Path

from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.core.files import building
from pipeline.core.processes import pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.sae.build import build_dictionary
from pipeline.sae.distributed import from_first, join, rank
from pipeline.sae.settings import SAESettings
from stages import PARAMS, run


def main() -> str:
    shared = read_section(PARAMS, RunSettings, "run")
    settings = read_section(PARAMS, SAESettings, "sae")
    memory_mib = read_section(PARAMS, ActivationsSettings, "activations").memory_mib
    prepare_process(shared.threads)
    device = join(pick_device(shared.device))
    store = ActivationStore.open(Path("data/activations.zarr"))
    shaped_by = [dataclasses.asdict(settings), shared.seed, dict(store.attributes)]
    with building(Path("data/sae"), shaped_by) if rank() == 0 else nullcontext() as own:
        folder = Path(from_first(own and str(own)))
        final = build_dictionary(store, settings, shared.seed, device, memory_mib, folder)
    if not final:
        return f"process {rank()} took part"
    return (
        f"{settings.pretrained or settings.architecture}: explained variance {final['explained_variance']:.3f}, "
        f"L0 {final['l0']:.1f}, dead {final['dead_share']:.1%}"
    )


if __name__ == "__main__":
    run("train_sae", main)
