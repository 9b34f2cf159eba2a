"""What every part of the GPU check is told on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from devices import H200, Ceilings
from rows import Rows


@dataclass(frozen=True)
class Given:
    rows: Rows
    device: torch.device
    smoke: bool
    """Sizes that a CPU does in seconds."""
    limit_s: float
    """The part is cut after so long."""
    ceilings: Ceilings
    """Of this card; an H200's where they were not measured."""
    others: argparse.Namespace


def parse(
    doc: str | None, add: Callable[[argparse.ArgumentParser], object] = lambda parser: None
) -> Given:
    """The arguments of a part; `add` declares its own."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--rows", type=Path, required=True, help="figures, a JSON line each")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, for a CPU")
    parser.add_argument("--ceilings", type=float, nargs=2, metavar=("FLOP_PER_S", "BYTES_PER_S"))
    parser.add_argument("--limit-s", type=float, default=600.0)
    add(parser)
    given = parser.parse_args()
    ceilings = Ceilings(*given.ceilings) if given.ceilings else H200
    return Given(Rows(given.rows), given.device, given.smoke, given.limit_s, ceilings, given)
