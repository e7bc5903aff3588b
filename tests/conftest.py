"""One setting for all property tests: the suite draws the same examples every time; VGIC_RANDOM=1 draws new ones."""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile("random" if os.environ.get("VGIC_RANDOM") else "suite")
