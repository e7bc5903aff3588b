"""The devices of the board, each a page of registers; none knows the machine it is in."""
