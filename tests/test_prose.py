"""Plain English, as far as a pattern can tell: the sentences of code, YAML files and pages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.commands import ROOT


class Rule(NamedTuple):
    """What a sentence must not look like, and what to write instead."""

    pattern: str
    remedy: str
    example: str


RULES = {
    "begins with Of": Rule(
        r"(?:^|[.!?:] )Of (?:a|the|an|its|each|every|all|those|two|what)\b",
        "begin with the subject",
        "Of a network that diverged nothing can be said.",
    ),
    "begins with Whose or Where": Rule(
        r"\A(?:Whose|Where|Wherever|Who|From where)\b",
        "begin with what the thing is or does",
        "Whose a run folder is.",
    ),
    "an old word": Rule(
        r"(?i)\b(?:befell|befall|thereof|hereof|wherein|whereby|whence|thence|hence|lest|albeit|"
        r"heretofore|amiss|aforesaid|ere|nought|naught|betwixt|whilst|unto|upon which)\b",
        "use the plain word",
        "What befell a GAN.",
    ),
    "a riddle": Rule(
        r"(?i)\b(?:for want of|by a wrong way|a crumb|knows nothing of|is said together|"
        r"nothing can be said|by itself alone|no word about)\b",
        "say what happens",
        "None may be left over for want of a crumb.",
    ),
    "another word for a term": Rule(
        r"(?i)\b(?:hyper-parameters?|validation set|test set|hold-out|data-?set splits?|"
        r"auc-?roc curve|work unit|subject ids?|check-?points? of a generator)\b",
        "use the term of docs/glossary.md",
        "The classifier is judged on the test set.",
    ),
}


def sentences_of_code(path: Path) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a Python file, each as one line with its number."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            yield node.lineno, " ".join(node.value.value.split())
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#! ")


def sentences_of_page(path: Path) -> Iterator[tuple[int, str]]:
    """The paragraphs and list items of a page, and the comments of a YAML file or script."""
    is_page = path.suffix == ".md"
    inside_code = False
    paragraph: list[str] = []
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        inside_code ^= is_page and line.lstrip().startswith("```")
        is_comment = line.lstrip().startswith("#")
        is_prose = line.strip("#-|` ") and not inside_code and is_comment != is_page
        if paragraph and (not is_prose or line.lstrip().startswith(("-", "|"))):
            yield number - len(paragraph), " ".join(paragraph)
            paragraph = []
        if is_prose:
            paragraph.append(line.strip("#-| "))


def sentences() -> Iterator[tuple[str, str]]:
    """Every sentence with its place."""
    for path in sorted((ROOT / "lussweep").rglob("*.py")):
        for number, text in sentences_of_code(path):
            yield f"{path.relative_to(ROOT)}:{number}", text
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.yaml")]
    pages += [path for path in ROOT.glob("experiments/**/*") if path.is_file()]
    for path in sorted(pages):
        for number, text in sentences_of_page(path):
            yield f"{path.relative_to(ROOT)}:{number}", text


@pytest.mark.parametrize("name", RULES)
def test_no_sentence_breaks_the_rule(name: str) -> None:
    rule = RULES[name]
    found = [f"{place}: {text}" for place, text in sentences() if re.search(rule.pattern, text)]
    assert not found, "\n".join([rule.remedy, *found])


@pytest.mark.parametrize("name", RULES)
def test_the_rule_sees_its_example(name: str) -> None:
    assert re.search(RULES[name].pattern, RULES[name].example)


def test_sentences_are_read_everywhere() -> None:
    places = {place.partition(":")[0] for place, _ in sentences()}
    for wanted in ("lussweep/errors.py", "README.md", "docs/glossary.md", "cluster.yaml"):
        assert wanted in places


def test_the_glossary_has_every_term_once_and_in_order() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs/glossary.md").read_text(), re.M)
    assert rows == sorted(set(rows), key=lambda term: term.casefold())


def test_every_term_of_the_glossary_is_used() -> None:
    everything = " ".join(text for _, text in sentences()).casefold()
    everything += " ".join(
        path.read_text().casefold() for path in (ROOT / "lussweep").rglob("*.py")
    )
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs/glossary.md").read_text(), re.M)
    unused = [
        term for row in rows for term in row.split(", ") if everything.count(term.casefold()) < 2
    ]
    assert not unused
