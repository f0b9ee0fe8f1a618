"""The command line ``counterflow``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from counterflow.commands.board_sim import board_sim
from counterflow.commands.boards import boards
from counterflow.commands.build import build
from counterflow.commands.compare import compare
from counterflow.commands.data import data
from counterflow.commands.demo import demo
from counterflow.commands.export import export
from counterflow.commands.host import host
from counterflow.commands.import_model import import_model
from counterflow.commands.networks import networks
from counterflow.commands.options import ARGUMENTS
from counterflow.commands.plan import plan
from counterflow.commands.profile_formats import profile
from counterflow.commands.program import program
from counterflow.commands.prove import prove
from counterflow.commands.simulate import simulate
from counterflow.commands.synth import synth
from counterflow.commands.train import train
from counterflow.commands.verilog import verilog
from counterflow.design.network.provenance import version
from counterflow.design.parts.home import home
from counterflow.design.tools.programs import MissingTool
from counterflow.surroundings import interrupted_by, settle, shortened, silence, told

AROUND = 30  # characters on both sides of one that cannot be written
TRACEBACK = "COUNTERFLOW_TRACEBACK"  # set it to see where an error comes from


class BadInput(click.ClickException):
    """What the user gave or the machine has does not do; the message says what would."""

    exit_code = 2


class Commands(click.Group):
    """The commands, with every error of the user's in one sentence and without a traceback."""

    def main(self, args: Any = None, *, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]
        """Run a command; the exit statuses of signals and of a pipe that ended are those of shells.

        What ends it leaves nothing behind: no half of a result, no program that was started.
        """
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        settle()
        ended: list[int] = []
        try:
            with interrupted_by(signal.SIGTERM, signal.SIGHUP, heard=ended):
                status = super().main(args, standalone_mode=False, **extra)
            sys.stdout.flush()  # here, where a sentence can say that there is no room
        except click.ClickException as error:
            vars(error)["message"] = shortened(error.message)
            told(error.show)
            status = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            told(lambda: click.echo("Interrupted.", err=True))
            exec("")  # CPython keeps in mind an interruption of such code, and would end by signal
            status = 128 + next(iter(ended), signal.SIGINT)
        except BrokenPipeError:  # whoever reads what is printed has enough
            silence()
            status = 128 + signal.SIGPIPE
        except OSError as error:
            silence()
            sentence = f"Error: {_sentence(error)}"
            told(lambda: click.echo(sentence, err=True))
            status = BadInput.exit_code
        sys.exit(status if isinstance(status, int) else 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            home()
            return super().invoke(ctx)
        except BrokenPipeError:  # before click makes it a 1, which means that hardware differs
            silence()
            raise click.exceptions.Exit(128 + signal.SIGPIPE) from None
        except (ValueError, OSError, EOFError, MissingTool) as error:
            if os.environ.get(TRACEBACK):
                raise
            raise BadInput(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and not error.filename and not os.path.exists("."):
        return "the folder that this was started in is gone; start it in another."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if isinstance(error, UnicodeEncodeError):
        odd = error.object[max(0, error.start - AROUND) : error.end + AROUND]
        return f"{odd!r} has bytes that are no UTF-8, expected a name in UTF-8."
    text = str(error).strip() or type(error).__name__
    return text if text.endswith((".", "?")) else f"{text}."


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version(), "-V", "--version", prog_name="counterflow")
def main() -> None:
    """Generate FPGA designs that train neural networks, and prove them equal to a model in Python.

    NET is the name of a shipped network (see `counterflow networks`) or a TOML file.

    \b
    Start here:
        counterflow demo                        everything once, in three minutes
        counterflow plan digits                 what the hardware will cost
        counterflow train digits                train the model that predicts every bit
        counterflow profile digits              what its numbers need, and formats for them
        counterflow simulate digits             train the hardware, compared in every cycle
        counterflow verilog digits -o out       the hardware
        counterflow synth tiny                  what it takes of an FPGA, and how fast it runs
        counterflow build digits --board ulx3s-85f   a bitstream that trains it
        counterflow board-sim tiny              a simulated board ...
        counterflow host train tiny --port P    ... that is trained over its serial line

    The exit status is 0 for success, 1 for hardware that differs from the model or data from what
    was published, 2 for bad input, 130 after Ctrl-C.
    """


for _command in (
    *(networks, data, plan, train, profile, export, import_model, verilog, simulate, synth),
    *(boards, build, program, host, board_sim, compare, prove, demo),
):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="counterflow")
