#!/usr/bin/env bash
# Write the file system of a minimal Debian 12 to a tar file: what debian:bookworm-slim holds, for machines that reach no registry.
#
#   images/base.sh FILE.tar
#
# Needs root and debootstrap. BROWSERPOOL_DEBIAN_MIRROR names another mirror than debootstrap's own.
set -euo pipefail

target=${1:?usage: images/base.sh FILE.tar}
command -v debootstrap >/dev/null || { echo "debootstrap is missing. Install it: apt-get install debootstrap" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root." >&2; exit 1; }

work=$(mktemp -d --tmpdir browserpool-base-XXXXXX)
clean() {
    # debootstrap mounts /proc in there; where it failed that may still be so, and what is mounted must not be deleted.
    if grep -q " $work/" /proc/mounts; then
        echo "$work is left: something is still mounted in it" >&2
    else
        rm -rf --one-file-system "$work"
    fi
}
trap clean EXIT

root=$work/root
debootstrap --variant=minbase bookworm "$root" ${BROWSERPOOL_DEBIAN_MIRROR:+"$BROWSERPOOL_DEBIAN_MIRROR"} >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    exit 1
}

# Updates and security fixes too, from where the rest comes from.
mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list")
cat >"$root/etc/apt/sources.list" <<SOURCES
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb ${mirror%/}-security bookworm-security main
SOURCES

# As Docker's image of the same name: no manuals, no translations, and none of what is installed later.
cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'SLIM'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
SLIM
printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/slim"
find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
for folder in usr/share/info usr/share/locale usr/share/man var/cache/apt var/lib/apt/lists var/log; do
    find "$root/$folder" -mindepth 1 -type f -delete
done

partial=$target.partial
tar -C "$root" --numeric-owner --sort=name --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$partial" .
mv "$partial" "$target"
