"""The lab: three stand-in ecommus shops on this machine, made of real parts.

See ``tests/lab/README.md``.
"""
