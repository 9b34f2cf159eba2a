"""Prints the environment in which PyTorch and oneDNN compute as on another processor.

AVX2 where this machine has AVX-512, SSE4.1 where it has AVX2: the next fewer numbers at a time. So
the two differ on any machine, and one with AVX-512 does what most others do.
"""

from __future__ import annotations

LIMITS = {
    "AVX512": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
"""By what PyTorch computes with where nothing limits it."""

if __name__ == "__main__":
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in LIMITS:
        raise SystemExit(f"PyTorch knows no fewer instructions than this machine's {capability}")
    print(*(f"{name}={value}" for name, value in LIMITS[capability].items()))
