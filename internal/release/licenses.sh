#!/usr/bin/env bash
# Writes the licenses of all modules that are linked into the program on any
# system, and Go's own, into one file:
#   licenses.sh GO_LICENSES_MODULE@VERSION FILE
set -euo pipefail
tool=$1 file=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
GOBIN=$dir go install "$tool"
# go-licenses takes the standard library for a module without this.
GOROOT=$(go env GOROOT)
export GOROOT
for system in linux darwin windows; do
	GOOS=$system "$dir/go-licenses" save ./cmd/git-credential-acp --ignore github.com/ambient-code/git-credential-acp \
		--save_path "$dir/$system" 2>"$dir/log" || { cat "$dir/log" >&2; exit 1; }
	mkdir -p "$dir/all" && cp -R "$dir/$system/." "$dir/all"
done
mkdir -p "$dir/all/go" && cp "$GOROOT/LICENSE" "$dir/all/go/LICENSE"
(
	echo 'Software that is linked into git-credential-acp, and its licenses.'
	cd "$dir/all"
	find . -type f \( -iname 'LICENSE*' -o -iname 'LICENCE*' -o -iname 'COPYING*' -o -iname 'NOTICE*' -o -iname 'PATENTS*' \) -printf '%P\n' | LC_ALL=C sort | while read -r name; do
		printf '\n%s\n%s\n\n' "$(printf '=%.0s' {1..78})" "$name"
		tr -d '\r' <"$name"
	done
) >"$dir/licenses"
mkdir -p "$(dirname "$file")"
install -m 0644 "$dir/licenses" "$file"
