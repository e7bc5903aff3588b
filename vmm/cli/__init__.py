"""The commands that the VMM adds to `vgic`: a module each, and what they are made of.

Room:    the top of the VMM; alone touches files, the host's clock and the terminal.
Holds:   a command's own module, and what it imports, can be imported without Unicorn: `vgic --help` needs no extra.
"""

from argparse import ArgumentParser, _SubParsersAction
from typing import TypeAlias

Subparsers: TypeAlias = "_SubParsersAction[ArgumentParser]"
"""What `add_parser` is given; argparse has no public name for it."""
