#!/bin/sh
# Prepare Debian for the suite, as root: debian.sh PACKAGE...
set -eu

missing=
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } || {
        echo "debian.sh: cannot get$missing: has this guest a way to the internet?" >&2
        exit 3
    }
fi
python3 --version
