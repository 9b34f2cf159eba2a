"""Errors that the user can mend, and texts that are safe to print."""

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


def one_line(error: BaseException | str, limit: int | None = 200) -> str:
    """The text of an error in one line of at most `limit` characters.

    White space of any length becomes one space. An exception without a text gives the name of its
    type. The text is `encodable`.
    """
    text = " ".join(encodable(str(error)).split())[:limit]
    return text if text or isinstance(error, str) else type(error).__name__


def encodable(text: str) -> str:
    """The text with an escape for each byte of a file name that is no UTF-8.

    Python reads such a byte as a lone surrogate, which no UTF-8 file and no table can hold.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or the name of its type if there is no text.

    For errors of PyTorch, which go on with advice for programmers.
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def printable(text: str) -> str:
    """The text with a space for each character that would change a terminal, or end the line."""
    return "".join(c if c.isprintable() else " " for c in text)
