"""The guests' images are what their sources compile to, and small."""

from pathlib import Path
from typing import Final

import pytest

from vmm.guests import GUESTS, compiler_of_images, image
from vmm.guests.build import HERE, PREFIX, SOURCES, build, compiler

NAMES: Final = [guest.name for guest in GUESTS]
LARGEST: Final = 32 * 1024


def test_every_image_has_its_guest_and_every_guest_its_source() -> None:
    images = {path.stem for path in HERE.glob("*.flat")}
    assert images == set(NAMES)
    assert all((SOURCES / f"{name}.c").exists() != (SOURCES / f"{name}.S").exists() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_small_whole_instructions(name: str) -> None:
    assert 0 < len(image(name)) <= LARGEST
    assert len(image(name)) % 4 == 0


def test_an_image_that_is_not_listed() -> None:
    with pytest.raises(KeyError, match=r"\.\./build"):
        image("../build")


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_build_to_the_image(name: str) -> None:
    here = compiler()
    if here is None:
        pytest.skip(f"{PREFIX}gcc is not installed (Debian: gcc-aarch64-linux-gnu)")
    if here != compiler_of_images():
        pytest.skip(f"the images are by {compiler_of_images()}; here is {here}")
    assert build(name) == image(name), f"{Path(name)}.flat is not up to date: run python -m vmm.guests.build"
