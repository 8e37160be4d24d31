#!/bin/sh
# Build a Debian image from Debian's packages: debian.sh RELEASE DIRECTORY [PACKAGE...]
#
# Leaves disk.qcow2 (one ext4 file system, no partitions), vmlinuz and initrd in DIRECTORY, for
# qemu to boot directly. cloud-init sets it up at first boot, as in Debian's own cloud images.
# The packages come from the archive that this machine's apt uses; DEBIAN_MIRROR names another.
set -eu

release=$1 into=$2
shift 2
case $release in
12) suite=bookworm ;;
13) suite=trixie ;;
*) echo "debian.sh: unknown release $release" >&2; exit 1 ;;
esac
for tool in mmdebstrap mke2fs qemu-img; do
    command -v "$tool" >/dev/null || {
        echo "debian.sh: $tool is missing: apt-get install mmdebstrap e2fsprogs qemu-utils" >&2
        exit 1
    }
done
[ "$(id -u)" = 0 ] || { echo "debian.sh: only root can keep the files' owners" >&2; exit 1; }

# The archive of this machine's own release serves the others too.
own_archive() {
    own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    # shellcheck disable=SC2016 # apt fills the fields in
    apt-get indextargets --no-release-info --format '$(SITE) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | awk -v own="$own" '$2 == own && $3 == "main" { print $1; exit }'
}
archive=${DEBIAN_MIRROR:-$(own_archive)}
[ -n "$archive" ] || {
    echo "debian.sh: apt knows no archive of Debian here: name one in DEBIAN_MIRROR" >&2
    exit 1
}

mkdir -p "$into"
work=$(mktemp -d "$into/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

packages=linux-image-cloud-amd64,systemd-sysv,systemd-resolved,dbus,udev,kmod,iproute2
packages=$packages,cloud-init,netplan.io,openssh-server,sudo,ca-certificates
for package in "$@"; do
    packages=$packages,$package
done

mmdebstrap --mode=root --variant=minbase --include="$packages" \
    "$suite" "$work/root" "$archive"
# Each module of cloud-init costs seconds in emulation; the seed needs these few.
cat >"$work/root/etc/cloud/cloud.cfg.d/90-seed-only.cfg" <<'EOF'
datasource_list: [NoCloud]
ssh_genkeytypes: [ed25519]
cloud_init_modules: [resizefs, seed_random, write_files, set_hostname, users_groups, ssh]
cloud_config_modules: [set_passwords]
cloud_final_modules: [final_message]
EOF
cp "$work"/root/boot/vmlinuz-* "$into/vmlinuz"
cp "$work"/root/boot/initrd.img-* "$into/initrd"
truncate -s 6G "$work/disk.raw"
mke2fs -q -t ext4 -L root -d "$work/root" "$work/disk.raw"
qemu-img convert -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
mv "$work/disk.qcow2" "$into/disk.qcow2"
