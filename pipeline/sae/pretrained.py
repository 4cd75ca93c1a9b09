"""A dictionary that someone else trained, in place of training one."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from pipeline.errors import PipelineError
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary


def load_pretrained(source: str, d_model: int) -> Dictionary:
    """``source`` is a local folder or ``params.npz``, or ``repository:folder`` on the hub.

    For example ``google/gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_82``.
    """
    dictionary = load_dictionary(_place(source))
    if dictionary.d_model != d_model:
        raise PipelineError(
            f"`sae.pretrained` {source} reads activations of width {dictionary.d_model}, but the store's have width "
            f"{d_model}; it belongs to another model"
        )
    return dictionary


def _place(source: str) -> Path:
    if Path(source).exists():
        return Path(source)
    repository, colon, folder = source.partition(":")
    if not colon:
        raise PipelineError(f"`sae.pretrained` {source} does not exist (on the hub it would be repository:folder)")
    try:
        return Path(snapshot_download(repository, allow_patterns=f"{folder}/*")) / folder
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise PipelineError(
            f"`sae.pretrained` {source} cannot be fetched ({reason}); with no network, give a folder on this machine"
        ) from None
