"""The command line: all commands, and how they end."""

import sys
from typing import NoReturn

import typer

from browserpool import __version__
from browserpool.cli import capacity, clients, processes, tokens
from browserpool.model import errors

app = typer.Typer(
    help="Warm pools of headless Chromium, reached over one HTTP request or over CDP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for commands in (processes, capacity, clients):
    app.add_typer(commands.app)
app.add_typer(tokens.app, name="token")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> NoReturn:
    """Run the command line; exits."""
    try:
        app(prog_name="browserpool")
    except errors.BrowserpoolError as error:
        typer.echo(f"browserpool: {error.message}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(0)
