"""Loads plain values from YAML that is not trusted."""

from __future__ import annotations

from typing import Any

import yaml

from lussweep.errors import one_line

MAX_CHARACTERS = 2**16
"""Most characters of an experiment. The longest one that ships has a twentieth of this."""
MAX_DEPTH = 20
MAX_SHOWN = 200
"""Most characters of a wrong value that an error repeats."""


class _PlainLoader(yaml.SafeLoader):
    """A YAML loader that refuses aliases, deep nesting and keys that stand twice.

    With aliases a few lines can unfold to gigabytes. PyYAML silently drops the first
    of two values that have one key.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # not annotated
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                None, None, "aliases (*) are not read: write the value again", mark
            )
        if self.depth == MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested over {MAX_DEPTH} deep", mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    raise yaml.MarkedYAMLError(
                        None, None, f"key {key.value} stands twice: keep one", key.start_mark
                    )
                keys.add((key.tag, key.value))
        return node


class _TextLoader(_PlainLoader):
    """A loader for which `yes` and `1` are texts."""


_TextLoader.yaml_implicit_resolvers = {}


def plain_yaml(text: str, *, only_texts: bool = False) -> Any:
    """Load plain values from YAML. Raises ValueError with the reason in one line.

    With `only_texts`, every value that is not a list or a mapping is a text.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has over {MAX_CHARACTERS} characters")
    loader = None
    try:
        loader = (_TextLoader if only_texts else _PlainLoader)(text)
        return loader.get_single_data()
    except Exception as error:
        # A scalar can make PyYAML's constructors raise any exception (KeyError, AttributeError,
        # OverflowError, ...).
        raise ValueError(one_line(error, MAX_SHOWN)) from None
    finally:
        if loader is not None:
            loader.dispose()
