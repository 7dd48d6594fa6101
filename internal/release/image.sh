#!/usr/bin/env bash
# Builds, checks and pushes the container image without an engine, with buildah:
#   image.sh build VERSION COMMIT EPOCH   bin/image -> dist/image (an OCI layout)
#   image.sh check VERSION                runs the program in dist/image; needs root
#   image.sh push VERSION NAME            dist/image -> NAME:VERSION
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v buildah >/dev/null || { echo 'buildah is not installed: it builds the container image (Debian: apt-get install buildah)' >&2; exit 1; }

# A store of its own leaves the user's images alone.
store=$(mktemp -d)
cleanup() { [[ -z ${container:-} ]] || buildah_ umount "$container" >/dev/null || true; rm -rf "$store"; }
trap cleanup EXIT
buildah_() { buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }

build() {
	local version=$1 commit=$2 epoch=$3
	for arch in amd64 arm64; do
		# No base image, so nothing is pulled; --timestamp makes the layers reproducible.
		buildah_ build --quiet --isolation chroot --pull-never --format oci --platform "linux/$arch" --timestamp "$epoch" \
			--label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.revision=$commit" \
			--manifest image -f Dockerfile bin/image
	done
	rm -rf dist/image
	buildah_ manifest push --quiet --all image "oci:dist/image:$version"
}

check() {
	local version=$1 want got root
	want=$(printf '%s\n' etc/ssl/certs/ca-certificates.crt git-credential-acp licenses/LICENSE licenses/THIRD-PARTY-LICENSES)
	container=$(buildah_ from "oci:dist/image:$version")
	root=$(buildah_ mount "$container")
	got=$(cd "$root" && find . -type f -printf '%P\n' | sort)
	[[ $got == "$want" ]] || { echo "the image holds other files than expected:"; diff <(echo "$want") <(echo "$got"); exit 1; }
	[[ -z $(find "$root" -perm /022 ! -type l) ]] || { echo 'the image has files that others may write'; exit 1; }
	[[ $(grep -c 'BEGIN CERTIFICATE' "$root/etc/ssl/certs/ca-certificates.crt") -gt 50 ]] || { echo 'the image has too few root certificates'; exit 1; }
	# As a user that nobody knows, with an empty environment, and without /proc or /dev.
	got=$(env -i "$(command -v chroot)" --userspec=65532:65532 "$root" /git-credential-acp version)
	[[ $got == *"$version"* ]] || { echo "the image's program is not $version: $got"; exit 1; }
	printf 'capability[]=state\nprotocol=https\nhost=elsewhere.example\n' | env -i "$(command -v chroot)" --userspec=1234:0 "$root" /git-credential-acp get
	echo "$got, in an image with $(wc -l <<<"$want") files"
}

push() {
	buildah_ manifest create image "oci:dist/image:$1" >/dev/null
	buildah_ manifest push --all --digestfile dist/image.digest image "docker://$2:$1"
}

"$@"
