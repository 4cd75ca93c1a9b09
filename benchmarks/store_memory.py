"""Peak memory of loading the first layers of a Gemma-2-2B-shaped model: the layers beyond the hook are never read.

    uv run python -m benchmarks.store_memory        # 2 GB of disk

A random bfloat16 model of the true width (2304; 8 heads of 256, 4 of them for keys; MLP 9216) with 12 layers and a
small vocabulary is saved; fresh processes load and run 0, 6 and 12 of its layers and report their peak resident
memory (Linux). Prints JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from pipeline.language_model.loading import load_model

LAYERS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--load", type=int, help="load so many layers of --model and print the peak, MB")
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    if arguments.model:
        print(peak_mb(arguments.model, arguments.load))
        return
    with tempfile.TemporaryDirectory() as folder:
        layer_mb = save_model(Path(folder), arguments.width)
        peaks = {n: float(run_fresh(Path(folder), n)) for n in (0, LAYERS // 2, LAYERS)}
    print(json.dumps({"width": arguments.width, "layer_mb": layer_mb, "peak_mb_by_layers_loaded": peaks}))


def save_model(folder: Path, width: int) -> float:
    """Save the random model; returns the megabytes of one layer."""
    config = Gemma2Config(
        vocab_size=2048,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=width // 9,
        dtype=torch.bfloat16,
    )
    torch.set_default_dtype(torch.bfloat16)
    model = Gemma2ForCausalLM(config)
    model.save_pretrained(folder)
    return sum(weight.nbytes for weight in model.model.layers[0].parameters()) / 1e6


def peak_mb(folder: Path, n_layers: int) -> float:
    if n_layers:
        model = load_model(folder, n_layers)
        model(torch.zeros(1, 8, dtype=torch.long))  # weights may be mapped and only read when used
    # VmHWM, not getrusage: the latter hands a parent's peak down to its children.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def run_fresh(folder: Path, n_layers: int) -> str:
    command = [sys.executable, "-m", "benchmarks.store_memory", "--load", str(n_layers), "--model", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
