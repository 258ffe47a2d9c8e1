"""The program ``gqn-zoo``."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import warnings
from typing import Annotated, Any, cast

import typer
import typer.core

from zoo.cli import data
from zoo.cli.options import command
from zoo.errors import ZooError, ZooWarning

# In the order of the help; each is the function ``run`` of its module.
COMMANDS = (
    "list",
    "describe",
    "doctor",
    "check",
    "new",
    "quickstart",
    "train",
    "evaluate",
    "predict",
    "render",
    "view",
    "export",
    "push",
    "pull",
    "localise",
    "bench",
    "compare",
    "diff",
    "claims",
    "report",
    "cards",
    "analyse",
)
INTERRUPTED, OUT_OF_MEMORY = 130, 5
# Newer versions of typer bring their own copy of click, older ones use the package; this is the base of either.
USAGE_ERROR = cast(
    "type[Exception]", next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
)


class InterruptedByUserError(Exception):
    """Ctrl-C; a KeyboardInterrupt itself would be turned into an exit without a message by typer."""


class Program(typer.core.TyperGroup):
    """The commands; Ctrl-C in any of them reaches ``main``."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedByUserError from None


app = typer.Typer(
    name="gqn-zoo",
    cls=Program,
    help="Train, measure and compare Generative Query Network variants.\n\n"
    "Start with [bold]gqn-zoo quickstart[/bold]: in minutes, on two CPU cores, it renders scenes, trains three variants and "
    "compares them. Then [bold]gqn-zoo list[/bold], [bold]gqn-zoo data make[/bold], [bold]gqn-zoo train[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import zoo

        typer.echo(f"gqn-zoo {zoo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    if debug:
        os.environ["GQN_ZOO_DEBUG"] = "1"


for name in COMMANDS:
    app.command(name)(command(importlib.import_module(f"zoo.cli.{name}").run))
app.add_typer(data.app, name="data")


def main(arguments: list[str] | None = None) -> Any:
    """Runs the program.

    Exits with code 0, 1 (a check or a claim failed), 2 (a mistake of the user), 130 (Ctrl-C), or that of the error.
    """
    # As an exception SIGTERM lets every half-written file be removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    show_warning = warnings.showwarning
    warnings.showwarning = lambda message, category, *place, **stream: (
        print(f"gqn-zoo: warning: {message}", file=sys.stderr)
        if issubclass(category, ZooWarning)
        else show_warning(message, category, *place, **stream)
    )
    try:
        sys.exit(app(arguments, prog_name="gqn-zoo", standalone_mode=False) or 0)
    except ZooError as error:
        _fail(str(error), code=error.exit_code, cause=error)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except USAGE_ERROR as error:
        _fail_usage(error)
    except (InterruptedByUserError, KeyboardInterrupt, typer.Abort):
        _fail("interrupted", code=INTERRUPTED, cause=None)
    except BrokenPipeError:
        # The reader of the output, for example head, has closed it.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", code=2, cause=error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or ["an allocation failed"])[0]
        _fail(f"out of memory: use a smaller batch size or fewer samples ({reason})", code=OUT_OF_MEMORY, cause=error)


def _is_out_of_memory(error: Exception) -> bool:
    """Returns whether an allocation failed, of numpy, or of torch on a GPU or a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _fail_usage(error: Any) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":
        if help_text := error.format_message():
            typer.echo(help_text)
        sys.exit(0)
    command = error.ctx.command_path if error.ctx is not None else "gqn-zoo"
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    _fail(f"{message}; see {command} --help", code=error.exit_code, cause=None)


def _fail(message: str, *, code: int, cause: BaseException | None) -> None:
    if cause is not None and os.environ.get("GQN_ZOO_DEBUG"):
        raise cause
    one_line = " ".join(message.split())
    print(f"gqn-zoo: {one_line}", file=sys.stderr)
    sys.exit(code)
