"""Image scores and AUC-ROC: pure functions of features, scores and labels, without files.

`fid`, `kid`, `kmmd` and `one_nn` of `sets.py` are attributes of this package. They are imported
when they are first used (PEP 562), because PyTorch comes with them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lussweep.metrics.sets import fid as fid
    from lussweep.metrics.sets import kid as kid
    from lussweep.metrics.sets import kmmd as kmmd
    from lussweep.metrics.sets import one_nn as one_nn

__all__ = ["fid", "kid", "kmmd", "one_nn"]


if not TYPE_CHECKING:  # else checkers would believe any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from lussweep.metrics import sets

        return getattr(sets, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
