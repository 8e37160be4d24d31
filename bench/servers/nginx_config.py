"""The configuration nginx is measured with: static files and PUT at its best, nothing else."""

from __future__ import annotations

import os
from pathlib import Path

_TEMPLATE = """\
daemon off;
master_process on;
worker_processes {workers};
{user}
pid {home}/nginx.pid;
error_log {home}/error.log warn;
worker_rlimit_nofile {files};
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
{aio}    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_max_body_size 0;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {home}/docroot;
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
}}
"""
_OPTIONAL_MODULES = ("proxy", "fastcgi", "uwsgi", "scgi")


def render(
    home: Path, port: int, connections: int, workers: int = 1, *, aio_threads: bool = False
) -> str:
    """Fill in the configuration; everything nginx writes stays below `home`.

    `aio_threads` lets a pool of threads read files, where this build has one. Bodies are
    collected beside the docroot, so that a PUT ends in a rename and not in a copy.
    """
    return _TEMPLATE.format(
        user="user root;" if os.geteuid() == 0 else "",  # else the worker may not write there
        home=home,
        port=port,
        connections=connections,
        files=connections + 1024,
        workers=workers,
        aio="    aio threads;\n" if aio_threads else "",
    )


def without_absent_modules(text: str, build: str) -> str:
    """Leave out the directives of modules that this build of nginx does not have."""
    absent = [m for m in _OPTIONAL_MODULES if f"--without-http_{m}_module" in build]
    unwanted = tuple(f"{module}_temp_path" for module in absent)
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.strip().startswith(unwanted))
