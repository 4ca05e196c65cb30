#!/bin/sh
# The head of every script that runs on a host: as root, in any POSIX shell, with stdin free for data.
#
# stdout is data: `done`, `already-so` and `key=value` lines (free text as `key_b64=`). stderr is talk.
# Exit codes: 0 so now · 1 anything else · 10 the host belongs to another machine · 11 the data did not arrive whole ·
# 12 a program of the bundle does not run here · 13 the engine does not start or answer · 14 what is not ours is in the way ·
# 15 the new engine failed, the one before runs again
set -eu
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Empty on a host; a folder in tests.
ROOT={{ root }}
HOME_DIR=$ROOT/opt/machine
ENGINE=$HOME_DIR/engine

say() { printf '%s\n' "$1"; }
fail() { code=$1; shift; printf '%s\n' "$*" >&2; exit "$code"; }
sum_of() { sha256sum <"$1" | cut -c1-64; }
b64() { base64 | tr -d '\n'; }
alive() { kill -0 "$1" 2>/dev/null; }
open_dir() { (umask 022; mkdir -p "$1"); }

# Nothing of a half-done write may be left to a power cut. Without a file name `sync` means the whole system.
settle() { sync "$@" 2>/dev/null || sync; }

# Removes NAME.PID of runs that died.
drop_strays() {
    for stray in "$1".*; do
        [ -e "$stray" ] || continue
        case ${stray##*.} in *[!0-9]*) continue ;; esac # somebody's daemon.json.bak
        alive "${stray##*.}" || rm -rf -- "$stray"
    done
}

owner_of_host() { sed -n 's/^machine-id=//p' "$HOME_DIR/owner" 2>/dev/null || :; }
ours() { [ -f "$1" ] && head -n 1 "$1" | grep -q '^# Written by machine'; }
