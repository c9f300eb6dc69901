"""The command line: reads options, calls one room, prints its summary. Nothing else."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mlip.cli_options import (
    DryRunOption,
    ForceOption,
    JsonOption,
    OutOption,
    RecipeOption,
    SetOption,
    VerboseOption,
)
from mlip.errors import InputError, InterruptedRunError, MlipError
from mlip.perform import perform, show

app = typer.Typer(
    name="mlip",
    help=(
        "From ab initio MD to a validated DeePMD potential, LAMMPS runs and conductivities.\n\n"
        "ingest -> train -> validate -> build -> md -> analyse -> report; label adds DFT labels, "
        "explore chooses them by itself, round by round. "
        "Every verb writes one directory with a manifest; typing the same command again resumes "
        "an interrupted one and leaves a finished one alone."
    ),
    epilog=(
        "Exit codes: 0 done, 1 our bug, 2 your input is wrong, 3 a gate refused, "
        "4 an engine failed, 5 interrupted (type it again to resume)."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# click.UsageError, which typer imports from click or, in newer releases, carries itself.
USAGE_ERROR: Any = typer.BadParameter.__mro__[1]


@dataclass
class _State:
    verbose: bool = False
    verify: bool = False


_state = _State()


@app.callback()
def common(
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Hash finished outputs; make damaged ones again."),
    ] = False,
) -> None:
    """Keep what holds for every verb."""
    _state.verify = verify


@app.command()
def doctor(as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Check this machine layer by layer; print the repair of what is broken."""
    from mlip.doctor import doctor as room

    _state.verbose = verbose
    layers = room.doctor()
    print(room.as_json(layers) if as_json else room.as_table(layers))
    if code := room.exit_code(layers):
        raise typer.Exit(code)


@app.command()
def ingest(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe: sources, type map, splits.")],
    out: OutOption,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read first-principles data into a certified set (train, valid, test)."""
    from mlip.data import ingest as room
    from mlip.recipes.base import load_recipe
    from mlip.recipes.ingest import IngestRecipe

    _state.verbose = verbose
    loaded = load_recipe(recipe, IngestRecipe, settings)
    perform(
        lambda: room.plan_ingest(loaded, recipe, out),
        lambda: room.ingest(loaded, recipe, out, force=force),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe: set, networks, steps.")],
    out: OutOption,
    accept_certificate: Annotated[
        bool,
        typer.Option("--accept-certificate", help="Train on a set whose certificate failed."),
    ] = False,
    learning_curve: Annotated[
        bool,
        typer.Option("--learning-curve", help="Train on parts of the set: error against data."),
    ] = False,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train, freeze and compress a committee of DeePMD potentials."""
    from mlip.recipes.base import load_recipe
    from mlip.recipes.train import TrainRecipe
    from mlip.training import committee
    from mlip.training import learning_curve as curve

    _state.verbose = verbose
    loaded = load_recipe(recipe, TrainRecipe, settings)
    plan, work = (
        (curve.plan_learning_curve, curve.learning_curve)
        if learning_curve
        else (committee.plan_train, committee.train)
    )
    perform(
        lambda: plan(loaded, recipe, out),
        lambda: work(loaded, recipe, out, accept_certificate=accept_certificate, force=force),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def validate(
    model: Annotated[Path, typer.Argument(help="Model directory.")],
    data: Annotated[
        Path, typer.Option("--data", help="Set directory; its test split.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory to write; MODEL/validation by default.")
    ] = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Prove engine parity; compare a committee with unseen DFT; test its physics."""
    from mlip.recipes.base import load_recipe
    from mlip.recipes.validate import ValidateRecipe
    from mlip.validation import validate as room

    _state.verbose = verbose
    loaded = load_recipe(recipe, ValidateRecipe, settings)
    perform(
        lambda: room.plan_validate(loaded, model, data, out=out),
        lambda: room.validate(loaded, model, data, source=recipe, out=out, force=force),
        out or model / "validation",
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def label(
    structures: Annotated[
        list[Path], typer.Argument(help="Structure files or directories, any format ASE reads.")
    ],
    out: OutOption,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compute DFT energies, forces and virials with CP2K, one store entry each."""
    from mlip.labelling import label as room
    from mlip.recipes.base import load_recipe
    from mlip.recipes.label import LabelRecipe

    _state.verbose = verbose
    loaded = load_recipe(recipe, LabelRecipe, settings)
    perform(
        lambda: room.plan_label(loaded, structures, out),
        lambda: room.label(loaded, structures, out, force=force),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def explore(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe: states, training, labels.")],
    out: OutOption,
    show_status: Annotated[
        bool, typer.Option("--status", help="Tell where the loop is; start nothing.")
    ] = False,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train, run, label where the committee disagrees, and learn, round by round."""
    from mlip.explore.loop import explore as run_explore
    from mlip.explore.plan import plan_explore
    from mlip.recipes.base import load_recipe
    from mlip.recipes.explore import ExploreRecipe

    _state.verbose = verbose
    loaded = load_recipe(recipe, ExploreRecipe, settings)
    if show_status:
        from mlip.explore.status import status

        show(status(loaded, out), str(out), as_json=as_json)
        return
    perform(
        lambda: plan_explore(loaded, recipe, out),
        lambda: run_explore(loaded, recipe, out, force=force),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def build(
    what: Annotated[str, typer.Argument(help="Name of a shipped crystal, or a YAML recipe.")],
    out: OutOption,
    supercell: Annotated[
        str | None, typer.Option("--supercell", help="Repeats along a, b, c, for example 2x2x4.")
    ] = None,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Build a start structure: crystal, packing, slab or nanograin; strained, rattled, ..."""
    from mlip.recipes.base import apply_setting, load_recipe, validated
    from mlip.recipes.build import BuildRecipe
    from mlip.structures import build as room

    _state.verbose = verbose
    chosen = list(settings or [])
    if supercell is not None:
        chosen.append(f"supercell=[{', '.join(_repeats(supercell))}]")
    if what.endswith((".yml", ".yaml")):
        source = Path(what)
        loaded = load_recipe(source, BuildRecipe, chosen)
    else:
        source = Path.cwd() / "command line"
        content: dict[str, Any] = {"crystal": what}
        for setting in chosen:
            apply_setting(content, setting)
        loaded = validated(content, BuildRecipe, f"mlip build {what}")
    perform(
        lambda: room.plan_build(loaded, source, out),
        lambda: room.build(loaded, source, out, force=force),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def md(
    protocol: Annotated[Path, typer.Argument(help="YAML protocol: stages, temperatures.")],
    model: Annotated[Path, typer.Option("--model", help="Model directory.", show_default=False)],
    structure: Annotated[
        Path,
        typer.Option(
            "--structure", help="Structure, run or extxyz file; or many.", show_default=False
        ),
    ],
    out: OutOption,
    accept_parity: Annotated[
        bool, typer.Option("--accept-parity", help="Run a model whose parity is not proved.")
    ] = False,
    accept_untrusted: Annotated[
        bool, typer.Option("--accept-untrusted", help="Keep a glass whose quench was distrusted.")
    ] = False,
    accept_unmelted: Annotated[
        bool, typer.Option("--accept-unmelted", help="Quench a melt that is still a crystal.")
    ] = False,
    accept_cavity: Annotated[
        bool, typer.Option("--accept-cavity", help="Keep a glass that froze around a hole.")
    ] = False,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Drive LAMMPS through a protocol; the committee watches. Resumable at any point."""
    from mlip.md import run as room
    from mlip.recipes.base import load_recipe
    from mlip.recipes.protocol import Protocol

    _state.verbose = verbose
    loaded = load_recipe(protocol, Protocol, settings)
    perform(
        lambda: room.plan_md(loaded, out, model=model, structure=structure),
        lambda: room.md(
            loaded,
            out,
            model=model,
            structure=structure,
            accept_parity=accept_parity,
            accept_untrusted=accept_untrusted,
            accept_unmelted=accept_unmelted,
            accept_cavity=accept_cavity,
            force=force,
        ),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def analyse(
    runs: Annotated[list[Path], typer.Argument(help="Runs; LAMMPS dump, extxyz, XDATCAR files.")],
    out: OutOption,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    accept_subdiffusive: Annotated[
        bool,
        typer.Option("--accept-subdiffusive", help="Give slopes of an MSD that is not diffusive."),
    ] = False,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Structure, disorder, anions, scattering and motion, with honest error bars."""
    from mlip import analyse as room
    from mlip.recipes.analyse import AnalyseRecipe
    from mlip.recipes.base import load_recipe

    _state.verbose = verbose
    loaded = load_recipe(recipe, AnalyseRecipe, settings)
    perform(
        lambda: room.plan_analyse(loaded, runs, out, source=recipe),
        lambda: room.analyse(
            loaded,
            runs,
            out,
            source=recipe,
            accept_subdiffusive=accept_subdiffusive,
            force=force,
        ),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


@app.command()
def report(
    directories: Annotated[
        list[Path], typer.Argument(help="Set, model, run and analysis directories.")
    ],
    out: OutOption,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write one self-contained HTML page from directories of results."""
    from mlip.report import report as room

    _state.verbose = verbose
    perform(
        lambda: room.plan_report(directories, out),
        lambda: room.report(directories, out, force=force),
        out,
        dry_run=dry_run,
        as_json=as_json,
        verify=_state.verify,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; errors are told on standard error."""
    _state.verbose = False
    try:
        code = app(args=arguments, standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except USAGE_ERROR as error:
        print(f"mlip: {error.format_message()} Try: mlip --help", file=sys.stderr)
        return InputError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("mlip: interrupted. The same command resumes.", file=sys.stderr)
        return InterruptedRunError.exit_code
    except BrokenPipeError:
        return 0
    except Exception as error:
        # The errors of mlip and of analysis name their exit code; all others are ours.
        expected = getattr(error, "exit_code", None)
        if _state.verbose or expected is None:
            traceback.print_exc()
        if expected is None:
            print("mlip: this is a bug of ours; please report the lines above.", file=sys.stderr)
            return MlipError.exit_code
        print(f"mlip: {error}", file=sys.stderr)
        return int(expected)
    return code if isinstance(code, int) else 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


def _repeats(text: str) -> list[str]:
    parts = text.replace(",", "x").lower().split("x")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"--supercell {text}: expected three numbers, for example 2x2x4.")
    return [part.strip() for part in parts]


if __name__ == "__main__":
    run()
