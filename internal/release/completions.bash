#!/usr/bin/env bash
# Completes command lines in real shells: bash internal/release/completions.bash PROGRAM
# Each must offer just what is expected. Needs bash-completion, fish and zsh.
set -euo pipefail

program=$(realpath "$1")
name=$(basename "$program")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
PATH=$(dirname "$program"):$PATH
cd "$dir"
touch vegetable # a file that begins like a command

fail() { printf '%s\n' "$@" >&2; exit 1; }

# Each is given a line and prints what is offered at its end, a word each.
# bash and zsh complete only when somebody types: zpty is that somebody.
in_bash() {
	# M-* puts all that is offered on the line, which is then printed.
	zsh -f -c '
		zmodload zsh/zpty
		zpty shell bash --norc -i
		zpty -w shell "PS1=; stty -echo; source /usr/share/bash-completion/bash_completion; source <($1 completion bash)"
		zpty -w shell "$2"$'"'\e*\x01'"'"echo offer\"\"ed:"
		zpty -w shell "echo fini\"\"shed"
		zpty -r shell output "*finished*"
		print -r -- "$output"
		zpty -d shell' - "$name" "$1" | tr -d '\r' | sed -n "s/.*offered:${1% *} *//p" | tr ' ' '\n' | sed "/^${1##* }$/d"
}

in_fish() {
	fish --no-config -c "$name completion fish | source; complete --do-complete '$1'" | cut -f1
}

in_zsh() {
	zsh -f -c '
		zmodload zsh/zpty
		zpty shell zsh -f -i
		zpty -w shell "PS1=; stty -echo; autoload -U compinit; compinit -D -u; source <($1 completion zsh)"
		# Says what is offered, besides offering it.
		zpty -w shell "compadd() { local -a given; builtin compadd -O given \"\$@\"; print -r -- offer\"\"ed:\"\${given[*]}:\"; builtin compadd \"\$@\" }"
		zpty -w shell "tab() { zle expand-or-complete; print fini\"\"shed }; zle -N tab; bindkey ^I tab"
		zpty -w -n shell "$2"$'"'\t'"'
		zpty -r shell output "*finished*"
		print -r -- "$output"
		zpty -d shell' - "$name" "$1" | sed -n 's/.*offered:\(.*\):.*/\1/p' | tr ' ' '\n'
}

expect() {
	local line=$1 want=$2 shell got
	for shell in bash fish zsh; do
		got=$(timeout 30 bash -c "$(declare -f "in_$shell"); name=$name; in_$shell \"\$1\"" - "$line" | sed '/^$/d' | sort -u | paste -sd ' ') ||
			fail "$shell: no completion of '$line'"
		[[ $got == "$want" ]] || fail "$shell: '$line' completes to '$got', want '$want'"
		echo "$shell: '$line' -> '$got'"
	done
}

expect "$name ve" 'version'
expect "$name version ve" ''
expect "$name completion " 'bash fish powershell zsh'
expect "$name get --inst" '--instance'
expect "$name check --color a" 'always auto'
expect "$name check --termination-log ve" 'vegetable'
