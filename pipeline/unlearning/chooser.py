"""One process that lets methods choose: everything is opened once, and methods on one target share their passes."""

import time

from pipeline.core.files import write_json
from pipeline.core.processes import pick_device, prepare_process
from pipeline.unlearning.case import Case
from pipeline.unlearning.choosing import Cell, Sources
from pipeline.unlearning.damage import area, points
from pipeline.unlearning.edit import save_edit
from pipeline.unlearning.origin import origin
from pipeline.unlearning.subject import count_training_texts, open_case, open_forest, open_pool, open_subject


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
        self.forest, self.firing = open_forest(sources.dendrogram), count_training_texts(self.subject)
        searched = any("scope_npo" in settings.methods_at(level) for level in self.subject.targets)
        pool = open_pool(self.subject, self.forest, sources.corpus, sources.run.seed) if searched else None
        self.documents, self.case = pool, None

    def choose(self, cell: Cell) -> float:
        """Let the method choose; keeps the edit, its sweep and its seconds; returns the dev objective."""
        started = time.monotonic()
        choice = self._case(cell.level).choose(cell.method)
        save_edit(cell.folder, choice.edit._replace(origin=self.origin))
        seconds = round(time.monotonic() - started, 2)
        sweep = {"seconds": seconds, "area": area(points(choice.sweep)), "candidates": choice.sweep}
        write_json(cell.folder / "sweep.json", sweep)
        return min(row["objective"] for row in choice.sweep)

    def _case(self, level: str) -> Case:
        if self.case is None or self.case.level != level:
            seed, scope = self.sources.run.seed, self.sources.scope
            case = open_case(self.subject, self.forest, self.firing, level, self.settings, seed)
            self.case = case._replace(documents=self.documents, scope=scope)
        return self.case
