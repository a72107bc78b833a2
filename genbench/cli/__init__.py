"""The verbs, a room for each kind.

Heavy imports stand inside the functions, so that `genbench --help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

import genbench
from genbench.cli import instruments, publishing, running, timing
from genbench.errors import Refused


class _Verbs(click.Group):
    """Exit codes: 0 fine, 1 the answer is no, 2 could not run. A refusal is one sentence, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no crash
        try:
            return super().invoke(ctx)
        except Refused as error:
            click.echo(f"genbench: {error}", err=True)
            ctx.exit(2)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(genbench.__version__, prog_name="genbench")
def main() -> None:
    """Quality, speed and diversity of generative models, measured under one set of rules."""


for _verb in (
    running.list_,
    running.run,
    running.score,
    timing.speed,
    instruments.stress,
    instruments.conform,
    timing.export,
    publishing.publish,
    publishing.compare,
    publishing.reproduce,
    running.doctor,
):
    main.add_command(_verb)
