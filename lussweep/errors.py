"""Errors whose fault lies with the input, told apart from faults of ours."""

from collections.abc import Iterable


class InputError(ValueError):
    """One or more things that the user must mend, reported together.

    Each problem is one line that names the thing and the remedy. The command line prints
    them all and exits with code 2.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return (type(self), (self.problems,))


class LeakageError(InputError):
    """A patient would be seen by a step that must not see them. Never a warning."""
