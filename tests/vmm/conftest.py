"""Images that guests boot, fetched once for all tests; without a network, tests that need them are skipped."""

import pytest

from vmm.linux.apt import FetchError
from vmm.linux.fetch import default_cache
from vmm.linux.images import Images, prepare


@pytest.fixture(scope="session")
def linux_images() -> Images:
    """Debian's arm64 Linux, kept where `vgic linux` keeps it; workers that run beside each other wait for one."""
    try:
        return prepare(default_cache())
    except FetchError as error:
        pytest.skip(f"Debian's arm64 packages cannot be fetched: {error}")
