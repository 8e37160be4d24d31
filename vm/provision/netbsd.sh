#!/bin/sh
# Prepare NetBSD for the suite, as root: netbsd.sh PACKAGE...
set -eu
# sshd's PATH for commands lacks pkgsrc.
PATH=$PATH:/usr/pkg/sbin:/usr/pkg/bin
export PATH

for package in "$@"; do
    pkg_info -qe "$package" || pkgin -y install "$package" || {
        echo "netbsd.sh: cannot get $package: has this guest a way to the internet?" >&2
        exit 3
    }
done
# pkgsrc installs python3.13 only; the newest that is there becomes python3.
if ! command -v python3 >/dev/null; then
    for python in /usr/pkg/bin/python3.[0-9] /usr/pkg/bin/python3.[0-9][0-9]; do
        [ ! -x "$python" ] || ln -sf "$python" /usr/pkg/bin/python3
    done
fi
python3 --version
