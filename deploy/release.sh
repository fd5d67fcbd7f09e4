#!/usr/bin/env bash
# Builds the release: deploy/release.sh VERSION [OS/ARCH …], into dist/: one archive for each target, and SHA256SUMS. The same commit, version and Go
# give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?usage: deploy/release.sh VERSION [OS/ARCH ...]}
shift
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] || { echo "release.sh: $version is no version such as 1.2.3" >&2; exit 1; }
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(linux/amd64 linux/arm64 darwin/amd64 darwin/arm64)
[ -z "$(git status --porcelain)" ] || echo "release.sh: there are changes that are not committed: this is no build of a commit" >&2
dist=${DIST:-dist}
mkdir -p "$dist"
dist=$(cd "$dist" && pwd)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

archives=()
for target in "${targets[@]}"; do
  os=${target%/*} arch=${target#*/}
  name=waltap-$version-$os-$arch
  mkdir -p "$work/$name"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOFLAGS= GOAMD64=v1 GOARM64=v8.0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/waltap/waltap/connector.Version=$version" -o "$work/$name/waltap" .
  cp LICENSE README.md CHANGELOG.md deploy/systemd/waltap.service docs/reference-config.yaml "$work/$name/"
  chmod 644 "$work/$name"/*
  chmod 755 "$work/$name" "$work/$name/waltap"
  tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -C "$work" -cf - "$name" | gzip -n9 >"$dist/$name.tar.gz"
  archives+=("$name.tar.gz")
done
(cd "$dist" && sha256sum "${archives[@]}" | tee SHA256SUMS)
