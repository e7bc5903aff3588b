"""GICv2 guests: distributor, CPU interface, list registers."""
