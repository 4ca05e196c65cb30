#!/bin/sh
# The head of every script that runs on a host: as root, in any POSIX shell, with stdin free for data.
#
# stdout is data: `done`, `already-so` and `key=value` lines (free text as `key_b64=`). stderr is talk.
# Exit codes: 0 so now · 1 anything else · 10 the host belongs to another machine · 11 the data arrived incomplete ·
# 12 a program of the bundle does not run here · 13 the engine does not start or answer · 14 what is not ours is in the way ·
# 15 the new engine failed, the one before runs again
set -eu
umask 077
# Units of a name with an old start script (Debian's docker.io has one) would have its links changed, too.
export SYSTEMCTL_SKIP_SYSV=1 LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Empty on a host; a folder in tests.
ROOT={{ root }}
# Where things are; ROOT goes before each.
HOME_DIR=$ROOT{{ paths.home }}
ENGINE=$HOME_DIR/engine
BUSY=$ROOT{{ paths.turn }}
SOCKET={{ paths.socket }} OWN_SOCKET={{ paths.own_socket }}
# shellcheck disable=SC2034 # for the scripts
DAEMON_JSON={{ paths.daemon_json }} DAEMON_WANTED={{ paths.daemon_wanted }} STAGED={{ paths.staged }} \
    UNITS={{ paths.units }} PROGRAMS={{ paths.programs }} BEFORE=$ROOT{{ paths.before }} \
    ENVIRONMENT={{ paths.environment }}

# At the end: the script's own file or folder, where it has one, and the turn, where it took it.
scratch='' turn=''
at_exit() {
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    [ -z "$turn" ] || rm -f -- "$BUSY"
}
trap at_exit EXIT

say() { printf '%s\n' "$1"; }
fail() { code=$1; shift; printf '%s\n' "$*" >&2; exit "$code"; }
sum_of() { sha256sum <"$1" | cut -c1-64; }
b64() { base64 | tr -d '\n'; }
alive() { kill -0 "$1" 2>/dev/null; }
open_dir() { (umask 022; mkdir -p "$1"); }

# Nothing of a half-done write may be left to a power cut. Without a file name `sync` means the whole system.
flush() { sync "$@" 2>/dev/null || sync; }

# For a command that may hang: DEADLINE is the script's, in seconds; KILL, because a script may ignore other signals and
# its children inherit that.
limited() { timeout -s KILL "$DEADLINE" "$@" </dev/null; }

# Removes NAME.PID of runs that died.
drop_strays() {
    for stray in "$1".*; do
        [ -e "$stray" ] || continue
        case ${stray##*.} in *[!0-9]*) continue ;; esac # somebody's daemon.json.bak
        alive "${stray##*.}" || rm -rf -- "$stray"
    done
}

# put FILE MODE OWNER: bytes from stdin take the place of FILE in one move. Where `written` names a file, their sum is
# noted there first. MODE `-`: a file that others write too; its link, mode and owner stay.
written=''
put() {
    file=$1
    if [ "$2" = - ] && [ -L "$file" ]; then file=$(readlink -m "$file"); fi
    open_dir "${file%/*}"
    drop_strays "$file.machine"
    cat >"$file.machine.$$"
    if [ "$2" != - ]; then
        chown "$3" "$file.machine.$$"
        chmod "$2" "$file.machine.$$"
    elif [ -f "$file" ]; then
        chown --reference="$file" "$file.machine.$$"
        chmod --reference="$file" "$file.machine.$$"
    else
        chmod 0644 "$file.machine.$$"
    fi
    flush "$file.machine.$$"
    if [ -n "$written" ] && [ -d "${written%/*}" ]; then sum_of "$file.machine.$$" >>"$written"; fi
    mv -fT "$file.machine.$$" "$file"
}
# Where a file is that others write too, its link stays.
take_away() { if [ "$1" = "$ROOT$DAEMON_JSON" ] && [ -L "$1" ]; then rm -f -- "$(readlink -m "$1")"; else rm -f -- "$1"; fi; }
# point LINK VALUE: in one move, too.
point() {
    rm -f -- "$1.$$"
    ln -s "$2" "$1.$$"
    mv -fT "$1.$$" "$1"
}

# The number of the layout that the engine has or is to have here.
layout() {
    if ours "$ROOT$UNITS/machine-containerd.service"; then echo 2
    elif ours "$ROOT$UNITS/containerd.service"; then echo 1
    else sed -n 's/^layout=//p' "$HOME_DIR/owner" 2>/dev/null || :; fi
}
owner_of_host() { sed -n 's/^machine-id=//p' "$HOME_DIR/owner" 2>/dev/null || :; }
ours() { [ -f "$1" ] && head -n 1 "$1" | grep -q '^# Written by machine'; }

# A change goes on when its connection is lost (another script may be at work here still): whoever comes next waits for
# its end.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }
lives() { [ -n "$2" ] && [ "$(born "$1")" = "$2" ]; }
somebody_changes() { { read -r pid since <"$BUSY"; } 2>/dev/null && lives "$pid" "$since"; }
await_quiet() {
    tries=0
    while somebody_changes; do
        tries=$((tries + 1))
        [ "$tries" -lt 900 ] || fail 13 "an earlier change is still in progress on the host (process $pid)"
        sleep 0.2
    done
}
# Takes away the file of one that was killed in its turn. Of several that see it, one does: who links the file that is named
# by the dead one. A late one finds that another's turn has come since. One that is killed here is cleared away likewise.
clear_dead() { # FILE
    was=$(cat "$1" 2>/dev/null) || return 0
    if lives "${was%% *}" "${was#* }"; then return 0; fi
    clearing=$BUSY.after-$(key_of "$was")
    if ln -T "$BUSY.$$" "$clearing" 2>/dev/null; then
        if is=$(cat "$1" 2>/dev/null) && [ "$is" = "$was" ]; then rm -f -- "$1"; fi
        rm -f -- "$clearing"
    elif [ -e "$BUSY.$$" ]; then
        clear_dead "$clearing"
    fi
}
# From here to the end of the script nobody else changes anything, and a lost connection or a signal stops nothing half-way.
# A script that changes anything has this called for it, see below, or calls it itself once all its data is there: a
# connection that hangs holds up nobody.
take_turn() {
    trap '' HUP INT TERM PIPE
    [ -d "${BUSY%/*}" ] || open_dir "${BUSY%/*}"
    drop_strays "$BUSY"
    printf '%s %s\n' "$$" "$(born "$$")" >"$BUSY.$$"
    # A link is made only where nothing is: of two that waited, one goes on waiting.
    while await_quiet; ! ln -T "$BUSY.$$" "$BUSY" 2>/dev/null; do
        clear_dead "$BUSY"
        [ -e "$BUSY.$$" ] || fail 1 "$BUSY.$$ is gone"
    done
    turn=taken
    rm -f -- "$BUSY.$$"
}

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

# Where the engine listens: on a socket of its own, unless it is the host's own engine, or in the place of one. What else
# may be there (Podman's) is no engine of ours.
socket() {
    if ours "$ROOT$UNITS/machine-containerd.service"; then
        printf %s "$OWN_SOCKET"
        return
    fi
    for dir in "$UNITS" /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
        for name in docker.service snap.docker.dockerd.service; do
            if [ -f "$ROOT$dir/$name" ]; then printf %s "$SOCKET"; return; fi
        done
    done
    return 1
}

# The engine's client, on its own socket, within DEADLINE.
docker_here() {
    cli=$ENGINE/current/bin/docker
    [ -x "$cli" ] || cli=$(command -v docker) || return 1
    at=$(socket) || return 1
    DOCKER_HOST=unix://$at DOCKER_CONFIG=$HOME_DIR/no-docker-config timeout -s KILL "$DEADLINE" "$cli" "$@" </dev/null
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
{% if take_turn %}
take_turn
{% endif %}