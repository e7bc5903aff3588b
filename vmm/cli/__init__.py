"""The commands that the VMM adds to `vgic`: a module each, as in vgic.cli."""
