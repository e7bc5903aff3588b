"""What `vgic compare` does: workloads on several machines, what they cost, and how that is shown."""
