"""DVC as experiment.py uses it: no object of its cache is believed unseen, and dvc.lock is never half written.

DVC trusts an object of its cache because its file is read-only, which root's tools do not mind, and writes dvc.lock in
place. What is changed here, once a process, is only that; the graph, the hashes and the run cache are DVC's.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dvc.dvcfile
from dvc.output import Output
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.stage import Stage
from dvc.utils.serialize import ParseError, dumps_yaml, load_yaml
from dvc.utils.serialize._yaml import parse_yaml_for_update
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.db.local import LocalHashFileDB
from dvc_data.hashfile.state import StateNoop
from voluptuous import Invalid

from pipeline.core.files import write_text

# Hard links to the cache, not copies: these stores are the large ones, and their readers check every chunk's sum.
KEPT_ONCE = "data/activations.zarr", "data/features.zarr"

_changed_cache, _cache, _outs_cached = Output.changed_cache, Output.cache.fget, Stage.outs_cached


def open_repository(root: Path) -> Repo:
    """The repository at ``root``, with or without .git, once what a killed DVC left half written is out of the way."""
    LocalHashFileDB.check = HashFileDB.check  # by hash (by time and size, if they are known): a bad object is deleted
    Output.changed_cache, Output.cache = _lost, property(_with_links)
    Stage.outs_cached = _whole
    dvc.dvcfile.modify_yaml = _modify_yaml
    _drop_torn_lock(root / ".dvc/tmp/rwlock")
    return Repo(str(root), config={"core": {"no_scm": True}})


def drop_bad_lock_file(path: Path) -> str | None:
    """Delete a dvc.lock that DVC could not read; returns the sentence to say so.

    Every stage is then restored from the cache, whose own records (the run cache) know what was made from what.
    """
    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(path))
    except FileNotFoundError:
        return None
    except (ParseError, Invalid, AttributeError, TypeError):
        path.unlink()
        return f"{path.name} was damaged, as by a killed run, and is made anew from what the cache knows"
    return None


def _drop_torn_lock(path: Path) -> None:
    """DVC's list of files in use, rewritten in place at every stage; the list of a dead process means nothing."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        path.unlink()


def _with_links(out: Output) -> HashFileDB:
    cache = _cache(out)
    if out.def_path in KEPT_ONCE:
        cache = copy.copy(cache)
        cache.cache_types = ["hardlink", "copy"]
    return cache


def _lost(out: Output, filter_info: Any = None) -> bool:
    """Whether the cache lacks an output; first an object that it lost is made from the folder that still holds it."""
    if not _changed_cache(out, filter_info):
        return False
    if out.use_cache and out.hash_info and out.exists and not out.changed_checksum():
        out.commit()
    return _changed_cache(out, filter_info)


def _whole(stage: Stage) -> bool:
    """Whether a stage can be restored; every object is then read, whatever its time and size say."""
    cache = stage.repo.cache.local
    known, cache.state = cache.state, StateNoop()
    try:
        return _outs_cached(stage)
    finally:
        cache.state = known


@contextmanager
def _modify_yaml(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
    """DVC's own, but the new content has another name until it is complete."""
    file = Path(path)
    content = parse_yaml_for_update(file.read_text(encoding="utf-8"), path) if file.exists() else {}
    yield content
    write_text(file, dumps_yaml(content))
