"""Machines with GICv2, v3, v4.0 and v4.1 and a device to assign, for `vgic demo smmute` and `vgic compare`."""
