"""The command line: one module for each command, and `main`, which finds them.

Room:    above everything; nothing imports it.
Never:   reaches past the library's public names.
Holds:   a command is a module with `add_parser(subparsers)`, which sets `func`: it takes the parsed arguments
         and returns the exit status.
"""

from argparse import ArgumentParser, _SubParsersAction
from typing import TypeAlias

Subparsers: TypeAlias = "_SubParsersAction[ArgumentParser]"
"""What `add_parser` is given; argparse has no public name for it."""
