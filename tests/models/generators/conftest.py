import pytest


@pytest.fixture(scope="module", autouse=True)
def every_training(one_thread):
    """Runs in one thread."""
