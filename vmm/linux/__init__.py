"""Unmodified Linux: Debian's arm64 kernel and busybox, fetched and packed into what a machine boots.

Room:    beside the machine, which knows nothing of it; may touch files and start programs.
"""
