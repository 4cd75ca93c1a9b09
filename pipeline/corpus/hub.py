"""Data sets of the Hugging Face hub: streamed when there is a network, from the local cache when there is none.

Only data is read: a data set that is a script is refused, and nobody is asked whether to run it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import datasets
import huggingface_hub

from pipeline.core.errors import PipelineError
from pipeline.corpus.settings import Source

OFFLINE = "HF_HUB_OFFLINE=1"


def offline() -> bool:
    """Whether the environment forbids the network (``HF_HUB_OFFLINE`` or ``HF_DATASETS_OFFLINE``)."""
    return datasets.config.HF_HUB_OFFLINE


def read_dataset(source: Source) -> Iterator[dict[str, Any]]:
    """The rows of one split, in order. Online nothing is stored: a few thousand rows of a corpus of terabytes."""
    _say_no_more_than_errors()
    with _reading(source):
        yield from datasets.load_dataset(
            source.dataset,
            source.name,
            split=source.split,
            revision=source.revision,
            streaming=not offline(),
            trust_remote_code=False,
        )


@contextlib.contextmanager
def _reading(source: Source) -> Iterator[None]:
    """Libraries of the hub report faults with many exception types; each becomes one sentence with the cause."""
    try:
        yield
    except Exception as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        if "trust_remote_code" in str(error):
            cause = "it is a script, and code from the hub is not run"
        raise PipelineError(f"cannot read {described(source)}: {cause}; {_remedy(source)}") from error


def cached(source: Source) -> bool:
    """Whether the local cache of ``datasets`` holds the split, at the wanted commit, as an offline run needs it."""
    _say_no_more_than_errors()
    try:
        builder = _builder(source)
    except (OSError, ValueError):  # ConnectionError among them
        return False
    return source.split in (builder.info.splits or {}) and source.revision in (None, builder.hash)


def commit(source: Source) -> str:
    """The commit that ``read_dataset`` reads, for the provenance of what is written."""
    with _reading(source):
        if offline():
            return str(_builder(source).hash)
        return str(huggingface_hub.dataset_info(source.dataset, revision=source.revision).sha)


def _builder(source: Source) -> datasets.DatasetBuilder:
    return datasets.load_dataset_builder(source.dataset, source.name, trust_remote_code=False)


def described(source: Source) -> str:
    """``data set cais/wmdp (wmdp-cyber, test)``"""
    return f"data set {source.dataset} ({', '.join(filter(None, (source.name, source.split)))})"


def _say_no_more_than_errors() -> None:
    """Otherwise ``datasets`` warns twice for every source that it reads from the cache, and draws bars."""
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()


def _remedy(source: Source) -> str:
    if offline():
        return f"load it once without {OFFLINE}, which fills the cache in HF_HOME"
    return f"see https://huggingface.co/datasets/{source.dataset} for its configurations, splits and access"
