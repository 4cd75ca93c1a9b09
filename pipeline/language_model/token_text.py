"""What tokens look like as text, without loading a model (or torch): read from the tokenizer's own file."""

from pathlib import Path

from tokenizers import Tokenizer, decoders

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.language_model.checks import home

_FILE = "tokenizer.json"


class TokenText:
    """Text of single tokens; one that begins a word starts with a space, so joined pieces read as text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def open(cls, model_dir: Path) -> "TokenText":
        """From a model folder, or the cached hub model that its ``reference.json`` names."""
        file = _tokenizer_file(model_dir)
        try:
            return cls(Tokenizer.from_file(str(file)))
        except Exception as error:  # tokenizers raises nothing more special
            reason = " ".join(str(error).split())
            raise PipelineError(f"{file} is not the file of a fast tokenizer ({reason}); save it again") from error

    def piece(self, token: int) -> str:
        """One token; unknown ids (padding of the embedding matrix) read as their number."""
        raw = self._tokenizer.id_to_token(token)
        if raw is None:
            return f" <{token}>"
        if "▁" in raw:  # SentencePiece's space, which some decoders drop from a first token
            return raw.replace("▁", " ")
        decoder = self._tokenizer.decoder
        if decoder is None or isinstance(decoder, decoders.WordPiece):  # whole words, or pieces marked `##`
            return raw[2:] if raw.startswith("##") else f" {raw}"
        return decoder.decode([raw])


def _tokenizer_file(model_dir: Path) -> Path:
    if not (model_dir / "reference.json").exists():
        found = model_dir / _FILE
    else:
        reference = read_json(model_dir / "reference.json")
        found = home(reference["id"]) / _FILE
        if not found.parent.is_dir():
            found = _cached(reference["id"], reference.get("revision"))
    if not found.exists():
        raise PipelineError(f"{found} is missing; save the model's fast tokenizer there")
    return found


def _cached(name: str, revision: str | None) -> Path:
    """The file in the local Hugging Face cache, where caching the activations has put it."""
    from huggingface_hub import try_to_load_from_cache  # half a second, and only hub models need it

    path = try_to_load_from_cache(name, _FILE, revision=revision)
    if not isinstance(path, str):
        raise PipelineError(f"the tokenizer of {name} is not in the local Hugging Face cache; run `hf download {name}`")
    return Path(path)
