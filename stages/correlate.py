"""Reads the sparse codes; writes the similarity of all pairs of latents, by token and by document."""

from pathlib import Path

from pipeline.codes.store import CodesStore
from pipeline.core.files import building
from pipeline.core.processes import MachineSettings
from pipeline.core.settings import read_section
from pipeline.tree.correlation import computing, correlate, plan_for
from pipeline.tree.correlation_file import check_dense, write_correlation, write_dense
from pipeline.tree.settings import CorrelationSettings
from pipeline.tree.units import Source
from stages import PARAMS, run

CODES = Path("data/features.zarr")
CORRELATION = Path("data/correlation.zarr")


def main() -> str:
    machine = read_section(PARAMS, MachineSettings, "machine")
    memory_mib = machine.correlation_memory_mib
    settings = read_section(PARAMS, CorrelationSettings, "correlation")
    n_latents = CodesStore.open(CODES).n_latents
    if settings.dense:
        check_dense(n_latents)
    floor = None if n_latents <= settings.exact_up_to else settings.floor
    said = []
    with (
        building(CORRELATION) as partial,
        computing(machine.correlation_scheduler, machine.threads, memory_mib) as hands,
    ):
        for source, similarity in (
            (Source(CODES, "token"), settings.token_similarity),
            (Source(CODES, "document", settings.window), settings.document_similarity),
        ):
            plan = plan_for(source, memory_mib, hands)
            print(f"{source.scale}: {plan}", flush=True)
            result = correlate(source, similarity, floor, settings.alpha, plan)
            write_correlation(partial, result, {"alpha": settings.alpha, "plan": str(plan)})
            print(result.census(settings.alpha), flush=True)
            said.append(f"{int(result.significant.sum()):,} by {source.scale}")
            if settings.dense:
                plan = write_dense(partial, source, result, memory_mib, hands)
                print(f"{source.scale}, dense: {plan}", flush=True)
    return f"the pairs of latents that fire together more than chance allows are {' and '.join(said)}"


if __name__ == "__main__":
    run("correlate", main)
