"""Describes experiments as a JSON schema, with which editors complete and check the YAML file.

Types, limits and defaults come from the specs, and descriptions from their docstrings. A schema
cannot hold the rules between fields, so `lussweep plan` may refuse what an editor accepts.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lussweep.study.plugins import Registry
from lussweep.study.spec.base import Spec
from lussweep.study.spec.classifiers import CLASSIFIERS
from lussweep.study.spec.embedders import EMBEDDERS
from lussweep.study.spec.fields import kinds_of, specs_in
from lussweep.study.spec.generators import DCGAN, GENERATORS
from lussweep.study.spec.scores import BUILT_IN_SCORES, SCORES
from lussweep.study.spec.study import StudySpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
NAMES: Mapping[tuple[str, str], Registry[Any]] = {
    ("ClassifierSpec", "kind"): CLASSIFIERS,
    ("ScoreSpec", "embedders"): EMBEDDERS,
    ("ScoreSpec", "extra_metrics"): SCORES,
    ("SelectSpec", "metric"): SCORES,
    ("SelectSpec", "embedder"): EMBEDDERS,
}
"""Fields that hold names of a registry, by spec."""


def experiment_schema() -> Schema:
    """The JSON schema of an experiment file, with the parts of the plugins that are loaded."""
    schema = StudySpec.model_json_schema()
    definitions: dict[str, Schema] = schema["$defs"]
    generators = {name: kind.spec for name, kind in GENERATORS.items()}
    searches = {name: kind.search for name, kind in CLASSIFIERS.items()}
    _offer(definitions, "GeneratorSpec", generators)
    _offer(definitions, "SearchSpec", searches)
    for name in generators:
        _name_the_kind(definitions[f"GeneratorSpec_{name}"], name)
    specs = {spec.__name__: spec for spec in _all_specs(StudySpec)}
    for node in (schema, *definitions.values()):
        _complete(node, specs.get(node.pop("title", "")))
    for name, section in definitions.items():
        if name in specs and specs[name].section_names:
            definitions[name] = {"anyOf": [{"enum": list(specs[name].section_names)}, section]}
    return {"$schema": DIALECT, "title": "lussweep experiment", **schema}


def _offer(definitions: dict[str, Schema], base: str, kinds: Mapping[str, type[Spec]]) -> None:
    """Let the section of spec `base` be of any of the kinds."""
    places = []
    for name, spec in kinds.items():
        kind = spec.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update({n: d for n, d in kind.pop("$defs", {}).items() if n != base})
        definitions[f"{base}_{name}"] = kind
        places.append({"$ref": f"#/$defs/{base}_{name}"})
    definitions[base] = places[0] if len(places) == 1 else {"anyOf": places}


def _name_the_kind(section: Schema, name: str) -> None:
    """Let the section of a kind hold the name of that kind alone. Only the default is left out."""
    section["properties"]["kind"] |= {"const": name, "default": DCGAN}
    if name != DCGAN:
        section["required"] = [*section.get("required", ()), "kind"]


def _complete(node: Schema, spec: type[Spec] | None) -> None:
    """Add descriptions and names to the properties of a section, and drop what editors repeat."""
    documented = field_docs(spec) if spec else {}
    for name, field in node.get("properties", {}).items():
        field.pop("title", None)
        if isinstance(field.get("default"), dict):  # the fields of the section have defaults
            del field["default"]
        if name in documented:
            field["description"] = documented[name]
        registry = NAMES.get((spec.__name__ if spec else "", name))
        if registry is not None:
            left_out = BUILT_IN_SCORES if name == "extra_metrics" else ()
            _limit(field, [each for each in registry if each not in left_out])
    if spec:
        fields = node["properties"]
        fields |= {key: dict(fields[field]) for key, field in spec.other_keys.items()}
    if "description" in node:
        node["description"] = _one_paragraph(node["description"])


def _limit(node: Schema, names: Collection[str]) -> None:
    """Let the texts of a field be some names alone."""
    if node.get("type") == "string" and "const" not in node:
        node["enum"] = list(names)
    for below in (node.get("items"), *node.get("anyOf", ())):
        if isinstance(below, dict):
            _limit(below, names)


def field_docs(spec: type[Spec]) -> dict[str, str]:
    """The docstrings of a spec's fields by name: the texts below their declarations."""
    docs: dict[str, str] = {}
    for declared in reversed(spec.__mro__):
        if not issubclass(declared, Spec):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(declared))
        except OSError:  # a plugin that comes without its source
            continue
        docs |= dict(_documented(ast.parse(source).body[0]))
    return docs


def _documented(declared: ast.stmt) -> Iterator[tuple[str, str]]:
    assert isinstance(declared, ast.ClassDef)
    for field, after in zip(declared.body, declared.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, _one_paragraph(text)


def _one_paragraph(text: str) -> str:
    return " ".join(text.split())


def _all_specs(spec: type[Spec], seen: set[type[Spec]] | None = None) -> set[type[Spec]]:
    """A spec, its kinds, and the specs of their sections."""
    seen = set() if seen is None else seen
    for kind in kinds_of(spec):
        if kind not in seen:
            seen.add(kind)
            for field in kind.model_fields.values():
                for section in specs_in(field.annotation):
                    _all_specs(section, seen)
    return seen
