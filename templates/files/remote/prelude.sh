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

# A change goes on when its connection is lost (another script may be at work here still): whoever comes next waits for
# its end.
BUSY=$ROOT/run/machine.applying
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }
somebody_changes() { { read -r pid since <"$BUSY"; } 2>/dev/null && [ -n "$since" ] && [ "$(born "$pid")" = "$since" ]; }
await_quiet() {
    tries=0
    while somebody_changes; do
        tries=$((tries + 1))
        [ "$tries" -lt 900 ] || fail 13 "an earlier change has not come to its end on the host (process $pid)"
        sleep 0.2
    done
}
# From here to the end of the script nobody else changes anything, and a lost connection or a signal stops nothing half-way.
take_turn() {
    trap '' HUP INT TERM PIPE
    [ -d "${BUSY%/*}" ] || open_dir "${BUSY%/*}"
    drop_strays "$BUSY"
    printf '%s %s\n' "$$" "$(born "$$")" >"$BUSY.$$"
    # A link is made only where nothing is: of two that waited, one goes on waiting.
    while await_quiet; ! ln -T "$BUSY.$$" "$BUSY" 2>/dev/null; do somebody_changes || rm -f -- "$BUSY"; done
    rm -f -- "$BUSY.$$"
    trap end_turn EXIT
}
end_turn() { rm -f -- "$BUSY"; }

# While a change has not come to its end, rollback/ holds what was: a file PATH as KEY, its lack as KEY.absent, and in
# `written` the sums of what was put in place instead. Prints where PATH lies as its owner left it; nothing where it lacks.
key_of() { printf %s "$1" | sha256sum | cut -c1-64; }
as_left() {
    back=$HOME_DIR/rollback key=$(key_of "$1")
    if [ ! -f "$ROOT$1" ] || ! grep -qsx "$(sum_of "$ROOT$1")" "$back/written"; then
        printf %s "$ROOT$1"
    elif [ -e "$back/$key" ]; then
        printf %s "$back/$key"
    fi
}

# The engine's client, on its own socket. DEADLINE is the script's; KILL, because a script may ignore other signals and
# its children inherit that.
docker_here() {
    cli=$ENGINE/current/bin/docker
    [ -x "$cli" ] || cli=$(command -v docker) || return 1
    DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$HOME_DIR/no-docker-config timeout -s KILL "$DEADLINE" "$cli" "$@" </dev/null
}
# Waits until live-restore is on (true) or off (false): a reload is taken up some time after it was asked for, and a
# restart before that would end the containers. An engine that does not answer is past asking.
await_live_restore() {
    tries=0
    while is=$(docker_here info --format '{''{.LiveRestoreEnabled}''}' 2>/dev/null) && [ "$is" != "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || return 1
        sleep 0.1
    done
}
