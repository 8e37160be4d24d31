#!/bin/sh
# Prepare FreeBSD for the suite, as root: freebsd.sh PACKAGE...
# {python} in a package stands for the version of the default Python without the dot.
set -eu
# sshd's PATH for commands lacks /usr/local.
PATH=$PATH:/usr/local/sbin:/usr/local/bin
export PATH

export ASSUME_ALWAYS_YES=yes
out_of_reach() {
    echo "freebsd.sh: pkg cannot get what is missing ($*): has this guest a way to the internet?" >&2
    exit 3
}

version=
for package in "$@"; do
    case $package in
    *"{python}"*)
        [ -n "$version" ] ||
            version=$(python3 -c 'import sys; print("%d%d" % sys.version_info[:2])')
        package=$(echo "$package" | sed "s/{python}/$version/")
        ;;
    esac
    pkg info -e "$package" 2>/dev/null || pkg install -y "$package" || out_of_reach "$package"
done

# Connecting to a closed port has to fail at once, or tests of that wait for a time-out.
sysctl net.inet.tcp.blackhole=0 >/dev/null
python3 --version
