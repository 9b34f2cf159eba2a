"""How much are synthetic images worth? A sweep over patients, replicates and variants.

In a notebook, `import lussweep` gives the functions of `__all__`. Each is imported when it is first
used (PEP 562), so that the import itself takes neither PyTorch nor Ray.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lussweep.api.release import ReleaseCard as ReleaseCard
    from lussweep.api.release import release_card as release_card
    from lussweep.api.runs import LoadedRun as LoadedRun
    from lussweep.api.runs import load_run as load_run
    from lussweep.api.statistics import auroc_interval as auroc_interval
    from lussweep.api.statistics import contrast as contrast
    from lussweep.api.statistics import worth as worth
    from lussweep.api.studies import run_study as run_study
    from lussweep.metrics.sets import fid as fid
    from lussweep.metrics.sets import kid as kid
    from lussweep.metrics.sets import kmmd as kmmd
    from lussweep.metrics.sets import one_nn as one_nn

_PLACES = {
    "lussweep.api.release": ("ReleaseCard", "release_card"),
    "lussweep.api.runs": ("LoadedRun", "load_run"),
    "lussweep.api.statistics": ("auroc_interval", "contrast", "worth"),
    "lussweep.api.studies": ("run_study",),
    "lussweep.metrics.sets": ("fid", "kid", "kmmd", "one_nn"),
}
"""The public names by the module that defines them."""
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = sorted(_MODULE_OF)


if not TYPE_CHECKING:  # else checkers would believe any name

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
