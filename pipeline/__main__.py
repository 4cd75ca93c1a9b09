"""One door to what the stages wrote: look at it, ask the model, compare runs, find a scope, export an edited model."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.scope.names import RETRIEVERS

# Every command imports what it needs when it runs, so that `--help` answers at once and `inspect` loads no torch.

DATA = Path("data")


class Parser(argparse.ArgumentParser):
    """Argparse that names the nearest known word where one is unknown."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from pipeline.core.faults import did_you_mean

            raise argparse.ArgumentError(action, f"there is no `{value}`{did_you_mean(value, action.choices)}")


def main(words: Sequence[str]) -> int:
    """Answer one command; a foreseen error becomes one sentence and exit code 1."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the stages: spinning threads slow two busy cores
    try:
        given = arguments().parse_args(words)
        _note_a_run_at_work()
        given.run(given)
        sys.stdout.flush()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head` has read enough; Python would complain again when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _note_a_run_at_work() -> None:
    from pipeline.inspection.overview import at_work

    if name := at_work(DATA):
        what = "what its stages have not written yet is missing, or of the run before"
        print(f"note: {name} is being made in {DATA} now; {what}", file=sys.stderr)


def arguments() -> Parser:
    """The whole command line."""
    parser = Parser(prog="python -m pipeline", description=__doc__)
    parser.set_defaults(run=lambda given: parser.print_help())
    commands = parser.add_subparsers(metavar="COMMAND")
    for add in (_add_inspect, _add_ask, _add_scope, _add_compare, _add_export, _add_agreement):
        add(commands)
    return parser


# --- inspect ---------------------------------------------------------------------------------------------------------


def _add_inspect(commands: Any) -> None:
    about = "show what the stages wrote: all of it, or one SUBJECT"
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs")
    inspect = commands.add_parser("inspect", parents=[as_json], help=about, description=about)
    inspect.set_defaults(run=_inspect, subject=None, json=False)
    _add_subjects(inspect.add_subparsers(dest="subject", metavar="SUBJECT"), as_json)


def _add_subjects(subjects: Any, as_json: argparse.ArgumentParser) -> None:
    scale = argparse.ArgumentParser(add_help=False)
    scale.add_argument("--scale", choices=("token", "document"), help="which tree; the default one otherwise")

    def add(name: str, about: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return subjects.add_parser(name, parents=[as_json, *parents], help=about, description=about)

    add("corpus", "the tree of nodes that can be forgotten, with counts of their texts and probes")
    knowledge = add("knowledge", "what the unedited model knows of every node, by the kind of question")
    knowledge.add_argument("--level", help="a level of the corpus, or all; the finest otherwise")
    layers = add("layers", "how well each layer of the model reads the corpus' nodes; measured when nobody has yet")
    layers.add_argument("--level", help="a level of the corpus; the finest otherwise")
    add("activations", "the activation store: arrays, norms, rows as text")
    add("sae", "the dictionary: what it is, how good it is, how it was trained")
    feature = add("feature", "one latent: how often it fires, on what, its path to the root", scale)
    feature.add_argument("number", type=int)
    dendrogram = add("dendrogram", "the tree down to a level, with the number of every group", scale)
    dendrogram.add_argument("--level", type=int, default=1, help="1 is the coarsest")
    dendrogram.add_argument("--newick", action="store_true", help="the whole tree in Newick form")
    group = add("group", "one merge of the tree, by scipy's number: members, passages, parts", scale)
    group.add_argument("number", type=int)
    edit = add("edit", "one edit: what it does, what it was chosen from, its figures")
    edit.add_argument("name", help="as subtree/topic")
    run = add("run", "a finished run: its figures, and the seconds of every stage")
    run.add_argument("folder", type=Path, help="as run_3")


def _inspect(given: argparse.Namespace) -> None:
    from pipeline.inspection.subjects import look

    if given.subject == "layers" and not any((DATA / name).exists() for name in ("model/layers.json", "layers.json")):
        from pipeline.inspection.sweep import measure_layers

        measure_layers(DATA)
    _show(look(DATA, given), given.json)


# --- ask -------------------------------------------------------------------------------------------------------------


def _add_ask(commands: Any) -> None:
    about = "ask the model: the likeliest next tokens and a short greedy text, before and after an edit"
    ask = commands.add_parser("ask", help=about, description=about)
    ask.add_argument("prompt", help="the beginning of a sentence, in words that the model knows")
    ask.add_argument("--edit", help="as subtree/topic; all edits of the run otherwise")
    ask.add_argument("--json", action="store_true", help="print JSON, for programs")
    ask.set_defaults(run=_ask)


def _ask(given: argparse.Namespace) -> None:
    from pipeline.inspection.overview import need

    need(DATA, "params.yaml", "model", "sae", "unlearning")
    from pipeline.inspection.asking import ask

    _show(ask(DATA, given.prompt, given.edit), given.json)


# --- scope -----------------------------------------------------------------------------------------------------------


def _add_scope(commands: Any) -> None:
    about = "find what a few example texts could mean: nested scopes, from the finest level to the coarsest"
    scope = commands.add_parser("scope", help=about, description=about)
    scope.add_argument("examples", nargs="+", metavar="TEXT", help="one example; several mean what they share")
    scope.add_argument("--retriever", choices=RETRIEVERS, default="tree", help="how texts are compared")
    scope.set_defaults(run=_scope)


def _scope(given: argparse.Namespace) -> None:
    from pipeline.inspection.overview import need

    need(DATA, "params.yaml", "corpus", "model", "sae", "dendrogram", "unlearning")
    from pipeline.inspection.scopes import find_scopes

    found = find_scopes(DATA, given.examples, given.retriever)
    if found.doubt:
        print(f"note: {found.doubt}", file=sys.stderr)
    print("\n".join(found.lines))


# --- compare ---------------------------------------------------------------------------------------------------------


def _add_compare(commands: Any) -> None:
    about = "put finished runs side by side: what each changed, and its figures with their intervals"
    compare = commands.add_parser("compare", help=about, description=about)
    compare.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders that experiment.py wrote")
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")
    form.add_argument("--json", action="store_true", help="print JSON, for programs")
    form.add_argument("--page", type=Path, metavar="FILE", help="write one HTML page, to be opened in a browser")
    compare.set_defaults(run=_compare)


def _compare(given: argparse.Namespace) -> None:
    from pipeline.report.comparison import as_markdown, comparison, read_runs

    runs = read_runs(given.runs)
    if given.page:
        from pipeline.core.files import write_text
        from pipeline.report.comparison_page import comparison_page

        write_text(given.page, comparison_page(runs))
        print(f"{given.page} compares {', '.join(run.name for run in runs)}; open it in a browser")
        return
    content = comparison(runs)
    _show(as_markdown(content) if given.markdown else content, given.json)


# --- export ----------------------------------------------------------------------------------------------------------


def _add_export(commands: Any) -> None:
    about = "write an edit of weights as an ordinary Hugging Face folder"
    export = commands.add_parser("export", help=about, description=about)
    export.add_argument("--method", required=True, help="method, or method/level, of an edit in data/unlearning")
    export.add_argument("--out", required=True, type=Path, help="folder for the Hugging Face model")
    export.set_defaults(run=_export)


def _export(given: argparse.Namespace) -> None:
    from pipeline.inspection.overview import need

    need(DATA, "model", "sae", "unlearning")
    from pipeline.unlearning.export import export_edit, find_edit

    edit = find_edit(DATA / "unlearning", given.method)
    export_edit(edit, DATA / "model", DATA / "sae", given.out)
    print(f"{edit.parent.name}/{edit.name}: {given.out} is a Hugging Face folder that has forgotten the target")


# --- agreement -------------------------------------------------------------------------------------------------------


def _add_agreement(commands: Any) -> None:
    about = "measure whether features and groups came back in another run on the same activations; prints JSON"
    agreement = commands.add_parser("agreement", help=about, description=about)
    agreement.add_argument("other", type=Path, metavar="OTHER/data", help="the data/ of the other run")
    agreement.set_defaults(run=_agreement)


def _agreement(given: argparse.Namespace) -> None:
    from pipeline.inspection.overview import need

    need(DATA, "sae", "features.zarr")
    from pipeline.agreement.compare import compare_folders

    print(json.dumps(compare_folders(DATA, given.other), indent=1))


# ---------------------------------------------------------------------------------------------------------------------


def _show(content: Mapping[str, Any] | str, as_json: bool) -> None:
    """Text as it is; anything else as JSON, or as tables on the terminal."""
    if isinstance(content, str):
        print(content)
    elif as_json:
        print(json.dumps(content, ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        from pipeline.inspection.show import show

        show(content, Console())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
