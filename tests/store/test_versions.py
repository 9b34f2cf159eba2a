from importlib import metadata

from lussweep.store.versions import installed_versions


def test_versions_are_those_that_are_installed_and_the_others_are_left_out():
    assert installed_versions(["numpy", "no-such-package"]) == {"numpy": metadata.version("numpy")}
