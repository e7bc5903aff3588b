"""`vgic demo`: worked examples of direct injection on the modelled hardware.

Room:    the command; each example is a module of its own.
Holds:   the exit status is 0 if everything went as the example says, 1 if not, 2 for arguments that make no sense.
"""

from vgic.cli import Subparsers, demo_guide, demo_smmute


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="run worked examples of GICv4 direct injection",
        description="Run worked examples of GICv4 direct injection on the modelled hardware. "
        "Exit status: 0 all went as expected, 1 something did not.",
    )
    demos = parser.add_subparsers(title="examples", metavar="EXAMPLE", required=True)
    demo_guide.add_parser(demos)
    demo_smmute.add_parser(demos)
