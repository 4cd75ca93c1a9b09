"""Encode every stored activation with the SAE; writes the sparse codes to data/features.zarr."""

from pathlib import Path

from pipeline.activations.store import ActivationStore
from pipeline.codes.encoding import encode_store
from pipeline.codes.store import CodesStore
from pipeline.core.files import building, hash_files
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import read_section
from pipeline.sae.folder import load_dictionary
from stages import PARAMS, run


def main() -> str:
    machine = read_section(PARAMS, MachineSettings, "machine")
    prepare_process(machine.threads)
    device = pick_device(machine.device)
    store = ActivationStore.open(Path("data/activations.zarr"))
    dictionary = load_dictionary(Path("data/sae")).to(device)
    sae_files = [Path("data/sae/cfg.json"), Path("data/sae/sae_weights.safetensors")]
    provenance = {"activations": store.attributes, "sae_sha256": hash_files(sae_files)}
    with building(Path("data/features.zarr"), provenance) as folder:
        encode_store(store, dictionary, folder, provenance, device)
    codes = CodesStore.open(Path("data/features.zarr"))
    silent = int((codes.latent_counts() == 0).sum())
    return (
        f"{codes.nnz / codes.n_tokens:.1f} latents are active per token on {codes.n_tokens:,} tokens; {silent} latents "
        "never are"
    )


if __name__ == "__main__":
    run("encode_features", main)
