"""Plugins: installed packages that add generators, classifiers, scores, embedders, readers and
report sections.

An experiment names its plugins in `plugins`. A plugin is a module with a function `register()`,
which adds entries to the registries, such as `CLASSIFIERS`. It belongs to an installed package,
never to a file beside the experiment: its name and version say what computed a result.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any, TypeVar

from lussweep.errors import InputError, one_line

GROUP = "lussweep.plugins"
"""The group of entry points in which a package lists its plugins."""

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Plugin:
    """A module of an installed package."""

    module: str
    package: str
    """The package's name, as `pip list` shows it."""
    version: str


@dataclass(frozen=True)
class _Registration:
    """A plugin whose `register()` runs, and the entries that it has added so far."""

    plugin: Plugin
    added: list[tuple[Registry[Any], str]] = field(default_factory=list)


_registering: ContextVar[_Registration | None] = ContextVar("registering", default=None)
_registered: dict[str, Plugin] = {}
"""The plugins whose entries are in the registries of this process, by module."""


class Registry(MutableMapping[str, Entry]):
    """Entries by name. It knows which plugin added an entry, and refuses a name that is taken.

    It is not a `dict`, whose `update`, `setdefault` and `|=` pass `__setitem__` by.
    """

    def __init__(self, what: str, entries: Mapping[str, Entry]) -> None:
        """`what` says in messages what an entry is, such as `classifier`."""
        self.what = what
        self._entries = dict(entries)
        self._plugin_of: dict[str, Plugin] = {}

    def __setitem__(self, name: str, entry: Entry) -> None:
        registration = _registering.get()
        if registration is not None:
            plugin = registration.plugin
            if name in self:
                other = self.plugin_of(name)
                owner = f"the plugin {other.module}" if other else "lussweep"
                raise InputError(
                    f"the plugin {plugin.module} adds the {self.what} {name!r}, but {owner} has "
                    "one of that name: give it another name"
                )
            self._plugin_of[name] = plugin
            registration.added.append((self, name))
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]
        self._plugin_of.pop(name, None)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def plugin_of(self, name: str) -> Plugin | None:
        """The plugin that added an entry; None for an entry of lussweep itself."""
        return self._plugin_of.get(name)

    def known(self, name: str) -> str:
        """The name, if an entry has it. Raises ValueError, with the closest name, if none has."""
        if name not in self:
            raise ValueError(self.unknown(name))
        return name

    def unknown(self, name: object) -> str:
        """Says that no entry has this name. Names the closest one, or plugins that may add it."""
        close = difflib.get_close_matches(str(name), self, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(self)}"
        unused = sorted(point.name for point in _entry_points() if point.value not in _registered)
        if unused and not close:
            hint += f"; installed plugins that this experiment does not name: {', '.join(unused)}"
        return f"no {self.what} has this name: {hint}"


def load_plugins(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Import plugins and let each register its entries, once per process.

    A name is that of an entry point in the group `lussweep.plugins`, or of a module. Raises
    InputError with one line for each plugin that cannot be loaded.
    """
    plugins: list[Plugin] = []
    problems: list[str] = []
    for name in names:
        try:
            plugins.append(_load_plugin(_find_plugin(name)))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return tuple(plugins)


def require_plugins(plugins: Iterable[Plugin]) -> None:
    """Load the plugins of a run into a worker process.

    Raises InputError if a package is missing here or has another version than where the run
    started, because its results would differ.
    """
    for plugin in plugins:
        here = _registered.get(plugin.module) or _find_plugin(plugin.module)
        if here.version != plugin.version:
            raise InputError(
                f"this worker has {here.package} {here.version}, but the run was started with "
                f"{plugin.version}: install the same version on every node"
            )
        _load_plugin(here)


def _find_plugin(name: str) -> Plugin:
    """The plugin of this name. Imports nothing."""
    for point in _entry_points():
        if name in (point.name, point.value) and point.dist is not None:
            return Plugin(point.value, point.dist.name, point.dist.version)
    packages = metadata.packages_distributions().get(name.partition(".")[0])
    if not packages:
        installed = sorted(point.name for point in _entry_points())
        close = f" (installed plugins: {', '.join(installed)})" if installed else ""
        raise InputError(
            f"plugins names {name!r}, which no installed package has{close}: install it with pip, "
            "a file beside the experiment does not count"
        )
    return Plugin(name, packages[0], metadata.version(packages[0]))


def _load_plugin(plugin: Plugin) -> Plugin:
    if plugin.module in _registered:
        return _registered[plugin.module]
    try:
        module = import_module(plugin.module)
    except Exception as error:  # another author's module may fail in any way
        raise InputError(_failed(plugin, "cannot be imported", error)) from None
    register = getattr(module, "register", None)
    if not callable(register):
        raise InputError(
            f"plugins names {plugin.module}, which has no function register(): it is not a plugin"
        )
    try:
        with _registered_by(plugin):
            register()
    except InputError:
        raise
    except Exception as error:  # so may its function
        raise InputError(_failed(plugin, "cannot be registered", error)) from None
    _registered[plugin.module] = plugin
    return plugin


def _failed(plugin: Plugin, what: str, error: Exception) -> str:
    return (
        f"the plugin {plugin.module} of {plugin.package} {plugin.version} {what}: "
        f"{type(error).__name__}: {one_line(error)}"
    )


@contextmanager
def _registered_by(plugin: Plugin) -> Iterator[None]:
    """Records which entries the plugin adds. Removes them again if it fails before its end."""
    registration = _Registration(plugin)
    token = _registering.set(registration)
    try:
        yield
    except BaseException:
        for registry, name in registration.added:
            registry.pop(name, None)
        raise
    finally:
        _registering.reset(token)


def _entry_points() -> metadata.EntryPoints:
    return metadata.entry_points(group=GROUP)
