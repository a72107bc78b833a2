"""What several verbs take and show: options, tables, devices."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from genbench.errors import Refused

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
root = click.option("--data-root", type=click.Path(path_type=Path), help="Where data files are looked for.")
download = click.option("--download", is_flag=True, help="Fetch data files that are missing.")
out = click.option(
    "--out", "-o", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of results."
)


def example(text: str) -> str:
    """The last line of a verb's help."""
    return f"Example:  {text}"


def show(headings: list[str], rows: list[list[str]], title: str | None = None) -> None:
    """Print a table, as wide as the terminal; at least 120 columns where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=max(120, 24 * len(headings)))
    console.print(table)


def check_device(device: str) -> str:
    """The device as it was named, if torch has it here."""
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise Refused(f"--device {device!r} is not a device; use cpu, cuda or cuda:N") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise Refused("--device cuda: this machine offers no CUDA device to torch; use --device cpu")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise Refused(f"--device {device}: there are {torch.cuda.device_count()} CUDA devices")
    if kind not in ("cpu", "cuda", "mps"):
        raise Refused(f"--device {device!r} is not supported; use cpu, cuda or cuda:N")
    return device
