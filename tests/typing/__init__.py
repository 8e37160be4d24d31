"""Code of users against the public types; checked by mypy, never run.

An ignored error is one that mypy must report: `warn_unused_ignores` fails if it does not.
"""
