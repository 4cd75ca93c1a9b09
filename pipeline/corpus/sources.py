"""Before any stage runs: is everything there that the corpus and the language model are to be read from?"""

from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.core.errors import PipelineError
from pipeline.corpus.cells import check_template
from pipeline.corpus.rows import check_file, file_path
from pipeline.corpus.settings import CorpusSettings, ProbeSource, Source, TextSource

TOKENIZER = "tokenizer.json"  # of a fast tokenizer, the only kind whose tokens can be shown without transformers
HUB = "https://huggingface.co"


class _Repo(NamedTuple):
    """A repository of the hub, of type ``model`` or ``dataset``."""

    kind: str
    id: str
    revision: str | None

    def __str__(self) -> str:
        return f"{self.kind} {self.id}" + (f" at {self.revision}" if self.revision else "")


def check_sources(corpus: CorpusSettings, model_source: str, model_revision: str | None = None) -> None:
    """Refuse, in one sentence, what cannot be read: bad templates, files or model folders, hub ids out of reach.

    ``model_source`` is ``train`` (nothing to read), a hub id or a local folder. Costs one small request for each
    repository; with ``HF_HUB_OFFLINE=1`` the local caches are asked instead.
    """
    for source in corpus.sources():
        if isinstance(source, TextSource | ProbeSource):
            check_template(source.template if isinstance(source, TextSource) else source.prompt, source)
    for path in local_files(corpus):
        check_file(path)
    sources = [source for source in corpus.sources() if source.dataset]
    model = None
    if is_folder(model_source):
        check_model_folder(Path(model_source).expanduser())
    elif model_source != "train":
        model = _Repo("model", model_source, model_revision)
    if sources or model:
        _check_hub(sources, model)


def local_files(corpus: CorpusSettings) -> list[Path]:
    """The local files that the corpus is made from, each once."""
    return list(dict.fromkeys(file_path(source, corpus.folder) for source in corpus.sources() if source.file))


def is_folder(model_source: str) -> bool:
    """Whether a model is named by a folder, not by a hub id (``owner/name``, or a bare ``name``)."""
    return model_source != "train" and (
        model_source.startswith(("/", ".", "~")) or model_source.count("/") > 1 or Path(model_source).is_dir()
    )


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that transformers could not load: no config, no tokenizer, no weights."""
    if not folder.is_dir():
        raise PipelineError(f"model folder {folder} is missing; set language_model.source to a folder or a hub id")
    if not (folder / "config.json").is_file():
        raise PipelineError(f"model folder {folder} has no config.json; it must be a Hugging Face model folder")
    if not (folder / TOKENIZER).is_file():
        raise PipelineError(
            f"model folder {folder} has no tokenizer.json, the file of a fast tokenizer; save one there with "
            "`AutoTokenizer.from_pretrained(...).save_pretrained(...)`"
        )
    if not list(folder.glob("*.safetensors")):
        raise PipelineError(f"model folder {folder} has no weights; it must hold *.safetensors files")


def _check_hub(sources: list[Source], model: _Repo | None) -> None:
    if not is_offline_mode():
        repos = [model] if model else []
        repos += dict.fromkeys(_Repo("dataset", source.dataset, source.revision) for source in sources)
        _reach(repos)
        return
    # Importing `datasets` takes seconds, which only this question needs.
    from pipeline.corpus.hub import cached, described

    no_model = model if model and not _model_cached(model) else None
    missing = [str(no_model)] if no_model else []
    missing += dict.fromkeys(described(source) for source in sources if not cached(source))
    if missing:
        raise PipelineError(
            f"HF_HUB_OFFLINE=1 is set and the local cache {constants.HF_HOME} lacks {', '.join(missing)}: unset it "
            "where there is a network, or fill the cache there (`hf download` for the model, `datasets.load_dataset` "
            f"for the data sets) and copy it here{_gate(no_model)}"
        )


def _model_cached(model: _Repo) -> bool:
    """Config, tokenizer and weights lie in the cache of huggingface_hub."""

    def has(*names: str) -> bool:
        found = (try_to_load_from_cache(model.id, name, revision=model.revision) for name in names)
        return any(isinstance(path, str) for path in found)

    return has("config.json") and has(TOKENIZER) and has("model.safetensors", "model.safetensors.index.json")


def _reach(repos: list[_Repo]) -> None:
    """Ask for the head of one small file of each: the only question whose answer also tells about a gate.

    What is left after the hub's own answers are network faults, of whichever HTTP library huggingface_hub uses.
    """
    for repo in repos:
        page = f"{HUB}/{'datasets/' if repo.kind == 'dataset' else ''}{repo.id}"
        try:
            _ask(repo)
        except GatedRepoError:
            raise PipelineError(
                f"{repo} is gated: accept its conditions at {page}, then set HF_TOKEN to a token of that account"
            ) from None
        except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
            raise PipelineError(f"{repo} is not on the hub, or is private; see {page}") from None
        except RemoteEntryNotFoundError:
            if repo.kind == "model":
                raise PipelineError(f"{repo} has no config.json, so it is not a model of transformers") from None
        except Exception as error:
            model = next((repo for repo in repos if repo.kind == "model"), None)
            raise PipelineError(
                f"cannot reach {HUB} ({type(error).__name__}), from which this run reads "
                f"{', '.join(map(str, repos))}: connect this machine, or copy a filled Hugging Face cache here and set "
                f"HF_HUB_OFFLINE=1{_gate(model)}"
            ) from None


def _ask(repo: _Repo) -> None:
    name = "config.json" if repo.kind == "model" else "README.md"
    get_hf_file_metadata(hf_hub_url(repo.id, name, repo_type=repo.kind, revision=repo.revision), timeout=10)


def _gate(model: _Repo | None) -> str:
    """How to get a model whose licence must be accepted, as Gemma's."""
    return f"; if {model.id} is gated, accept its licence at {HUB}/{model.id} and set HF_TOKEN" if model else ""
