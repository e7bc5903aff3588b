"""What `vgic demo` shows: programs on modelled hardware, and the words for what that hardware does."""
