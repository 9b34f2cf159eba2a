"""Errors that the user can mend, as opposed to faults of the program."""

from collections.abc import Iterable


class InputError(ValueError):
    """One or more problems that the user must mend, reported together.

    Each problem is one line. It says what is wrong, where, and what to do. The command line
    prints all of them and exits with code 2.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return (type(self), (self.problems,))


class LeakageError(InputError):
    """A step would see a patient that it must not see. Always an error, never a warning."""
