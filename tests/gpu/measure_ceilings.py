"""The two ceilings of this card: a large bf16 product, and a large copy within its memory.

python tests/gpu/measure_ceilings.py --rows FILE [--device cuda] [--smoke]
"""

from __future__ import annotations

from arguments import parse
from devices import measure_ceilings

SIDE, COPY_BYTES = 8192, 2 << 30
SMOKE_SIDE, SMOKE_COPY_BYTES = 256, 1 << 20


def main() -> None:
    given = parse(__doc__)
    side, copy_bytes = (SMOKE_SIDE, SMOKE_COPY_BYTES) if given.smoke else (SIDE, COPY_BYTES)
    ceilings = measure_ceilings(given.device, side=side, copy_bytes=copy_bytes)
    given.rows.add("bf16 product", ceilings.flop_per_s, "FLOP/s", f"{side} x {side}, random data")
    copied = f"{copy_bytes / 2**20:.0f} MiB, bytes read plus bytes written"
    given.rows.add("copy", ceilings.bytes_per_s, "B/s", copied)


if __name__ == "__main__":
    main()
