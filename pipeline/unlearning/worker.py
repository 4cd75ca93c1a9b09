"""One process that lets methods choose: everything is opened once, and methods on one target share their passes."""

import time
from functools import cached_property

from pipeline.activations.arithmetic import arithmetic_for
from pipeline.core.files import write_json, write_sums
from pipeline.core.processes import pick_device, prepare_process
from pipeline.scope.documents import Documents, corpus_rows, load_reading, open_documents, save_reading
from pipeline.scope.stored import open_stored
from pipeline.unlearning.case import Case
from pipeline.unlearning.choosing import Cell, Sources
from pipeline.unlearning.damage import area, points
from pipeline.unlearning.edit import save_edit
from pipeline.unlearning.origin import origin
from pipeline.unlearning.subject import count_training_texts, open_case, open_forest, open_subject, read_pool


class Chooser:
    """Opens what all cells share once, and one level's case after the other."""

    def __init__(self, sources: Sources) -> None:
        prepare_process(sources.machine.threads)
        settings, device = sources.unlearning, pick_device(sources.machine.device)
        self.sources, self.settings = sources, settings
        self.subject = open_subject(
            sources.model, sources.sae, sources.corpus, sources.activations, sources.targets, device
        )
        self.origin = origin(self.subject.model, self.subject.dictionary, self.subject.tokenizer)
        self.stored = open_stored(sources.corpus, sources.features, sources.store)
        self.forest, self.firing = open_forest(sources.dendrogram), count_training_texts(self.subject, self.stored)
        self.case: Case | None = None

    def read_documents(self) -> None:
        """Read the pool once for all that search it: methods, the stage ``evaluate``, the command ``scope``."""
        if corpus_rows(self.sources.corpus)[0] and not self.sources.documents.exists():
            save_reading(self.sources.documents, read_pool(self.subject, self.sources.corpus, self.stored))

    @cached_property
    def documents(self) -> Documents | None:
        """The pool with what was read there, where a method searches it."""
        if not any("scope_npo" in self.settings.methods_at(level) for level in self.subject.targets):
            return None
        reading = load_reading(self.sources.documents)
        return open_documents(self.sources.corpus, self.forest.trees, reading, self.sources.run.seed)

    def choose(self, cell: Cell) -> None:
        """Let the method choose; keeps the edit, its sweep and its seconds."""
        started = time.monotonic()
        choice = self._case(cell.level).choose(cell.method)
        save_edit(cell.folder, choice.edit._replace(origin=self.origin))
        seconds = round(time.monotonic() - started, 2)
        sweep = {"seconds": seconds, "area": area(points(choice.sweep)), "candidates": choice.sweep}
        sweep |= {"dropped": list(choice.dropped)} if choice.dropped else {}
        write_json(cell.folder / "sweep.json", sweep)
        write_sums(cell.folder)

    def _case(self, level: str) -> Case:
        if self.case is None or self.case.level != level:
            seed, scope = self.sources.run.seed, self.sources.scope
            case = open_case(self.subject, self.forest, self.firing, level, self.settings, seed)
            arithmetic = arithmetic_for(self.sources.machine.cache_arithmetic, self.subject.model.device.type)
            self.case = case._replace(documents=self.documents, scope=scope, arithmetic=arithmetic)
        return self.case
