"""The virtual ITS: from a device's message to an LPI."""
