"""A toy VMM that runs real AArch64 guests, embedding vgic as any other user would."""
