"""GICv3 guests: distributor, redistributors, system registers, list registers."""
