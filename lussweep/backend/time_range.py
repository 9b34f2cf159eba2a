"""The time left of a run as a range, with its text."""

from __future__ import annotations

from typing import NamedTuple

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


class TimeRange(NamedTuple):
    """The seconds left of a run."""

    low_s: float
    high_s: float

    def after(self, seconds: float) -> TimeRange | None:
        """The range when these seconds have passed without news. None if no second is left of it.

        >>> TimeRange(5, 60).after(20), TimeRange(5, 60).after(60)
        (TimeRange(low_s=0.0, high_s=40), None)
        """
        if self.high_s - seconds < 1:
            return None
        return TimeRange(max(0.0, self.low_s - seconds), self.high_s - seconds)

    def __str__(self) -> str:
        """The range in the largest unit of which its high end has at least two.

        >>> str(TimeRange(480, 700)), str(TimeRange(7500, 9900)), str(TimeRange(170, 184))
        ('8 to 12 min', '2.1 to 2.8 h', '3 min')
        """
        unit, size = next((u for u in UNITS if self.high_s >= 2 * u[1]), UNITS[-1])
        n_digits = int(unit in ("d", "h"))
        low, high = (f"{round(seconds / size, n_digits):g}" for seconds in self)
        return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
