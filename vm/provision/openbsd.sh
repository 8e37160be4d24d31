#!/bin/sh
# Prepare OpenBSD for the suite, as root: openbsd.sh PACKAGE...
set -eu
# doas keeps no /usr/local in root's PATH.
PATH=$PATH:/usr/local/sbin:/usr/local/bin
export PATH

for package in "$@"; do
    pkg_info -q -e "${package%%%*}-*" 2>/dev/null || pkg_add -I "$package" || {
        echo "openbsd.sh: cannot get $package: has this guest a way to the internet?" >&2
        exit 3
    }
done
python3 --version
