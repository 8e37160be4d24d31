#!/bin/sh
# Run the suite in the guest, as the user who logs in: suite.sh [PYTEST-ARGUMENT...]
#
# Below ~/mogvm lie: src (the checkout), dist (the wheel, built on the host), house (packages for
# a guest without internet; if it is there, nothing else is used), out (what is fetched back).
# The environment is tox's `py`, as on the host. `suite.sh stop` ends a run whose connection
# to the host is gone; `suite.sh python` prints the version of the guest's Python.
set -eu
# sshd's PATH for commands lacks the packages of FreeBSD, OpenBSD and NetBSD.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/pkg/sbin:/usr/pkg/bin
export PATH

base=$HOME/mogvm
running=$base/running

stop_previous() {
    [ -f "$running" ] || return 0
    group=$(cat "$running")
    rm -f "$running"
    kill -s TERM -- "-$group" 2>/dev/null || true
}

if [ "${1:-}" = python ]; then
    exec python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'
fi
stop_previous
[ "${1:-}" != stop ] || exit 0
# sshd runs each command in a process group of its own.
ps -o pgid= -p $$ | tr -d ' ' >"$running"

export PIP_DISABLE_PIP_VERSION_CHECK=1
if [ -d "$base/house" ]; then
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$base/house"
fi
if [ ! -x "$base/venv/bin/tox" ]; then
    echo "installing tox in the guest"
    rm -rf "$base/venv"
    python3 -m venv "$base/venv"
    "$base/venv/bin/python" -m pip install --quiet 'tox>=4.24'
fi

rm -rf "$base/out"
mkdir -p "$base/out"
cd "$base/src"
status=0
"$base/venv/bin/tox" run -e py --installpkg "$base"/dist/*.whl -- \
    --junitxml="$base/out/junit.xml" "$@" || status=$?

python=$base/src/.tox/py/bin/python
if "$python" -P -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("mogpoll.__main__"))'
then
    "$python" -P -m mogpoll --json "$base/out/probe.json" || [ "$status" != 0 ] || status=4
fi
rm -f "$running"
exit "$status"
