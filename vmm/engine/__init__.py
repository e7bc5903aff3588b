"""The engine: AArch64 cores by Unicorn, behind one port.

Room:    below the vCPUs; alone imports Unicorn.
Never:   knows of interrupt controllers, devices or virtual time.
"""
