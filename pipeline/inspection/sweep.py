"""Measure where the corpus can be read, for a model of which `prepare` has not."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.inspection.overview import need
from pipeline.language_model.layers import sweep


def measure_layers(data: Path) -> None:
    """Write ``layers.json`` beside the stages' outputs, where neither it nor that of `prepare` is there."""
    need(data, "params.yaml", "corpus", "model")
    machine = read_section(data / "params.yaml", MachineSettings, "machine")
    prepare_process(machine.threads)
    seed = read_section(data / "params.yaml", RunSettings, "run").seed
    write_json(data / "layers.json", sweep(data / "model", data / "corpus", seed, pick_device(machine.device)))
