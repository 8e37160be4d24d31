"""What stands in the way of detaching: paths that mean something else from `/`.

An upgrade starts the program again with the same arguments, found through PATH, from the
directory `/` that a detached process stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

SUMMARY = "relative paths are incompatible with --daemonize"


def objections(
    config_files: Sequence[str],
    docroots: Sequence[str],
    pidfile: str | None,
    environ: Mapping[str, str],
    access_log: str | None = None,
) -> list[str]:
    """List what is relative, with the conclusion as the last line; nothing when all is well."""
    named = [
        *(("config", path) for path in config_files),
        *(("docroot", path) for path in docroots),
        *(("pidfile", path) for path in (pidfile,) if path is not None),
        # And "-": a daemon has no stdout.
        *(("access_log", path) for path in (access_log,) if path and path != "syslog"),
    ]
    found = [
        f"{name}={path} must use an absolute path"
        for name, path in named
        if not path.startswith("/")
    ]
    found += _objections_to_path(environ.get("PATH"))
    return [*found, SUMMARY] if found else []


def _objections_to_path(path: str | None) -> Iterator[str]:
    if path is None:
        yield "PATH environment is not set"
        return
    for element in path.split(":"):
        if not element.startswith("/"):
            yield f"PATH environment contains relative path: {element}"
