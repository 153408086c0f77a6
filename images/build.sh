#!/usr/bin/env bash
# Build the images by docker, podman or buildah, whichever is here and works.
#
#   images/build.sh [NAME...]              controller, router and browser, when none is named; postgres is for trials and tests
#   SAVE=DIR images/build.sh [NAME...]     and write each as an archive, DIR/browserpool-NAME.tar
#   images/build.sh --which                say which builder that would be, and build nothing
#
# IMAGE_REGISTRY, IMAGE_TAG   what they are called: IMAGE_REGISTRY/browserpool-NAME:IMAGE_TAG
# IMAGE_BASE                  what they are built on; without it debian:bookworm-slim, or its like made by base.sh where no registry is reached
# IMAGE_BUILDER               docker, podman or buildah, instead of the first that works
#
# Where pip and apt find packages on this machine is handed on to the build as secrets, which no image keeps.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
registry=${IMAGE_REGISTRY:-browserpool.local}
tag=${IMAGE_TAG:-dev}
own_base=browserpool.local/debian:bookworm-slim
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
# Secrets are BuildKit's.
export DOCKER_BUILDKIT=1

work=$(mktemp -d --tmpdir browserpool-images-XXXXXX)
trap 'rm -rf "$work"' EXIT

builder() {
    local name
    for name in ${IMAGE_BUILDER:-docker podman buildah}; do
        # A client without its daemon is no builder.
        if command -v "$name" >/dev/null && timeout 30 "$name" info >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    echo "None of ${IMAGE_BUILDER:-docker, podman and buildah} works here. Install one: apt-get install buildah" >&2
    return 1
}

has() { "$builder" inspect --type image "$1" >/dev/null 2>&1; }

import() { # TAR NAME
    if [ "$builder" != buildah ]; then
        "$builder" import "$1" "$2" >/dev/null
        return
    fi
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$1" / >/dev/null
    buildah commit --quiet --rm "$container" "$2" >/dev/null
}

base() {
    local name
    for name in ${IMAGE_BASE:-debian:bookworm-slim $own_base}; do
        if has "$name"; then
            echo "$name"
            return
        fi
    done
    name=${IMAGE_BASE:-docker.io/library/debian:bookworm-slim}
    if timeout 120 "$builder" pull --quiet "$name" >/dev/null 2>"$work/pull.log"; then
        echo "$name"
        return
    fi
    if [ -n "${IMAGE_BASE:-}" ]; then
        cat "$work/pull.log" >&2
        return 1
    fi
    echo "No registry gives debian:bookworm-slim; making its like by debootstrap." >&2
    "$here/base.sh" "$work/base.tar"
    import "$work/base.tar" "$own_base"
    echo "$own_base"
}

# ---------------------------------------------------------------- where packages come from on this machine
certificates() {
    local file=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
    if [ -s "$file" ]; then cp "$file" "$work/ca.pem"; fi
}

apt_settings() {
    command -v apt-config >/dev/null || return 0
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-(Date|Valid-Until)|Retries|https?::Timeout)' >"$work/apt.conf" || true
    if [ -f "$work/ca.pem" ]; then echo 'Acquire::https::CAInfo "/run/secrets/ca.pem";' >>"$work/apt.conf"; fi
    if ! (. /etc/os-release && [ "$ID-${VERSION_CODENAME:-}" = debian-bookworm ]); then return 0; fi
    if [ -f /etc/apt/sources.list.d/debian.sources ]; then
        cp /etc/apt/sources.list.d/debian.sources "$work/apt.sources"
    elif [ -f /etc/apt/sources.list ]; then
        sed -En 's/^deb +(\[[^]]*\] +)?([^ ]+) +([^ ]+) +(.*)$/Types: deb\nURIs: \2\nSuites: \3\nComponents: \4\n/p' \
            /etc/apt/sources.list >"$work/apt.sources"
    fi
    if [ -s "$work/apt.sources" ]; then
        printf 'Dir::Etc::SourceList "/run/secrets/apt.sources";\nDir::Etc::SourceParts "-";\n' >>"$work/apt.conf"
    fi
}

pip_settings() {
    local python=$here/../.venv/bin/python
    [ -x "$python" ] || python=python3
    echo '[global]' >"$work/pip.conf"
    # Lines like global.index-url='...'; those of the environment come first and win over those of files.
    "$python" -m pip config list 2>/dev/null |
        sed -En "s/^[^=]*\.(index-url|extra-index-url|trusted-host|proxy|timeout|retries)='(.*)'$/\1 = \2/p" |
        awk '!seen[$1]++' >>"$work/pip.conf"
    if [ -f "$work/ca.pem" ]; then echo 'cert = /run/secrets/ca.pem' >>"$work/pip.conf"; fi
}

# ---------------------------------------------------------------- the images
build() { # NAME
    local image=$registry/browserpool-$1:$tag secret variable arguments=()
    for secret in apt.conf apt.sources ca.pem pip.conf; do
        if [ -s "$work/$secret" ]; then arguments+=(--secret "id=$secret,src=$work/$secret"); fi
    done
    for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        if [ -n "${!variable:-}" ]; then arguments+=(--build-arg "$variable"); fi
    done
    if [ "$builder" != docker ]; then arguments+=(--layers --format docker); fi
    echo "Building $image by $builder ..."
    "$builder" build --network host --build-arg "BASE=$base" "${arguments[@]}" \
        --tag "$image" --file "$here/$1/Dockerfile" "$here/.." >"$work/$1.log" 2>&1 || {
        tail -n 30 "$work/$1.log" >&2
        return 1
    }
}

identity() { # IMAGE
    case $builder in
        buildah) buildah inspect --type image --format '{{.FromImageID}}' "$1" ;;
        *) "$builder" image inspect --format '{{.Id}}' "$1" ;;
    esac | sed 's/^sha256://'
}

# What the archive holds already is not written again.
save() { # NAME
    local image=$registry/browserpool-$1:$tag archive=$SAVE/browserpool-$1.tar
    mkdir -p "$SAVE"
    if [ -f "$archive" ] && tar -xOf "$archive" manifest.json 2>/dev/null | grep -q "$(identity "$image")"; then
        echo "$archive"
        return
    fi
    case $builder in
        buildah) buildah push --quiet "$image" "docker-archive:$work/$1.tar:$image" >/dev/null ;;
        podman) podman save --quiet --format docker-archive --output "$work/$1.tar" "$image" ;;
        docker) docker save --output "$work/$1.tar" "$image" ;;
    esac
    mv "$work/$1.tar" "$archive"
    echo "$archive"
}

builder=$(builder)
if [ "${1:-}" = --which ]; then
    echo "$builder"
    exit
fi
base=$(base)
certificates
apt_settings
pip_settings
for name in ${@:-controller router browser}; do
    build "$name"
    if [ -n "${SAVE:-}" ]; then save "$name"; fi
done
