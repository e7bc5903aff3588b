"""Direct injection: interrupts that reach a guest without list registers, on a host with GICv4.0 or GICv4.1."""
