# Brings the engine to the settings that lie staged: all of them, or back to what was. Once begun it ends by itself,
# whether or not anybody still listens.
# Seconds for each unit, and for the engine to answer.
DEADLINE={{ deadline_seconds }}
# A change of daemon.json alone needs no restart.
RELOAD_ENOUGH={{ reload_enough }}
# The engine is the host's own: its units and programs are left alone.
ADOPTED={{ adopted }}

# staged/ holds files named by their sha256, and `list` (`SHA256 MODE OWNER:GROUP PATH`, one a line), `digest` (the engine
# to run; empty for an adopted one), `stamp` (names all of it together). PATH may be @transition (today's daemon.json
# with live-restore on) and @start (the new one with live-restore on).
staged=$HOME_DIR/staged
back=$HOME_DIR/rollback
json=$ROOT/etc/docker/daemon.json
log=$HOME_DIR/apply.log
active() { systemctl is-active --quiet "$1"; }
if [ "$ADOPTED" = true ]; then units=docker.service; else units='containerd.service docker.socket docker.service'; fi

explain() {
    for unit in docker.service docker.socket containerd.service; do
        printf -- '-- %s is %s\n' "$unit" "$(systemctl show -p ActiveState --value "$unit" 2>/dev/null || :)"
    done
    journalctl --no-pager -o cat -n 20 -u docker.service -u containerd.service 2>/dev/null | tail -n 20 || :
}
bring() { timeout "$DEADLINE" systemctl "$1" "$2" </dev/null >>"$log" 2>&1; }
# Puts bytes from stdin in place of PATH in one move.
put() {
    path=$1 mode=$2 owner=$3
    open_dir "${path%/*}"
    drop_strays "$path.machine"
    cat >"$path.machine.$$"
    chown "$owner" "$path.machine.$$"
    chmod "$mode" "$path.machine.$$"
    settle "$path.machine.$$"
    mv -fT "$path.machine.$$" "$path"
}
staged_as() { while read -r sum _ _ path; do if [ "$path" = "$1" ]; then printf %s "$staged/$sum"; fi; done <"$staged/list"; }
point() {
    rm -f -- "$1.$$"
    ln -s "$2" "$1.$$"
    mv -fT "$1.$$" "$1"
}
# Deliberate restarts count against the start limit too, and would take the socket down with them.
start_units() {
    systemctl daemon-reload >>"$log" 2>&1
    # shellcheck disable=SC2086 # a list of ours
    systemctl enable --quiet $units >>"$log" 2>&1 || :
    # shellcheck disable=SC2086
    systemctl reset-failed $units >>"$log" 2>&1 || :
    if [ "$ADOPTED" != true ]; then
        if ! active docker.socket; then
            # A socket refuses to start under a running service.
            if active docker.service; then bring stop docker.service || return 1; fi
            bring start docker.socket || return 1
        fi
        if [ "$1" = all ]; then bring restart containerd.service || return 1; else bring start containerd.service || return 1; fi
    fi
    if [ "$1" = none ]; then bring start docker.service; else bring restart docker.service; fi
}
answers() {
    docker=$ENGINE/current/bin/docker
    [ -x "$docker" ] && [ "$ADOPTED" != true ] || docker=$(command -v docker) || return 1
    DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$HOME_DIR/no-docker-config timeout "$DEADLINE" \
        "$docker" version --format ok </dev/null >>"$log" 2>&1
}

open_dir "$HOME_DIR"
if [ ! -f "$staged/stamp" ]; then
    # Nothing waits to be applied; the engine may still have been stopped, or never have been started.
    all=true
    for unit in $units; do active "$unit" || all=false; done
    if [ "$all" = true ] && answers; then say already-so; exit 0; fi
    : >"$log"
    if start_units none && answers; then say "done"; exit 0; fi
    explain >&2
    fail 13 "the engine does not start"
fi

# From here on a lost connection or a signal stops nothing half-way.
trap '' HUP INT TERM PIPE
: >"$log"
digest=$(cat "$staged/digest")
before=$(readlink "$ENGINE/current" 2>/dev/null || :)

# What was, kept until all is well. A folder that a power cut left behind holds the last good state: only what it lacks is added.
mkdir -p "$back"
[ -f "$back/current" ] || printf %s "$before" >"$back/current"
restart=none
while read -r sum _ _ path; do
    case $path in @*) continue ;; esac
    target=$ROOT$path
    key=$(printf %s "$path" | sha256sum | cut -c1-64)
    if [ ! -e "$back/$key" ] && [ ! -e "$back/$key.absent" ]; then
        if [ -f "$target" ]; then cp -p "$target" "$back/$key"; else : >"$back/$key.absent"; fi
    fi
    if [ -f "$target" ] && [ "$(sum_of "$target")" = "$sum" ]; then continue; fi
    case $path in
        */containerd.*) restart=all ;;
        */certs.d/*) ;;
        */daemon.json) if [ "$RELOAD_ENOUGH" = true ] && [ "$restart" = none ]; then restart=reload; elif [ "$restart" != all ]; then restart=docker; fi ;;
        *) [ "$restart" = all ] || restart=docker ;;
    esac
done <"$staged/list"
[ -z "$digest" ] || [ "$digest" = "$before" ] || restart=all
# An engine that was started under other settings than those that lie there now.
if [ "$restart" = none ] && [ "$(cat "$HOME_DIR/applied" 2>/dev/null || :)" != "$(cat "$staged/stamp")" ]; then restart=docker; fi
settle "$back"

was_running=false
if active docker.service; then was_running=true; fi
transition=$(staged_as @transition)
start=$(staged_as @start)
final=$(staged_as /etc/docker/daemon.json)

# Containers live through our restart even where the settings say that they would not.
if [ "$was_running" = true ] && [ -n "$transition" ] && [ "$restart" != reload ] && [ "$restart" != none ]; then
    put "$json" 0644 root:root <"$transition"
    bring reload docker.service || :
fi
while read -r sum mode owner path; do
    case $path in @*) continue ;; esac
    put "$ROOT$path" "$mode" "$owner" <"$staged/$sum"
done <"$staged/list"
if [ -n "$start" ] && [ "$was_running" = true ] && [ "$restart" != reload ]; then put "$json" 0644 root:root <"$start"; fi
if [ -n "$digest" ] && [ "$digest" != "$before" ]; then
    if [ -n "$before" ]; then point "$ENGINE/previous" "$before"; fi
    point "$ENGINE/current" "$digest"
fi
settle "$HOME_DIR"
if [ "$ADOPTED" != true ] && ! getent group docker >/dev/null; then groupadd --system docker; fi

good=true
if [ "$restart" = reload ] && [ "$was_running" = true ]; then
    bring reload docker.service || good=false
else
    start_units "$restart" || good=false
fi
if [ "$good" = true ]; then answers || good=false; fi

if [ "$good" = true ]; then
    if [ -n "$start" ] && [ "$was_running" = true ] && [ "$restart" != reload ]; then
        put "$json" 0644 root:root <"$final"
        bring reload docker.service || :
    fi
    put "$HOME_DIR/applied" 0644 root:root <"$staged/stamp"
    rm -rf -- "$staged" "$back"
    say "restarted=$restart" || :
    say "done" || :
    exit 0
fi

explain >"$HOME_DIR/apply.failed" 2>&1
if [ ! -f "$HOME_DIR/applied" ]; then
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 13 "the engine does not start"
fi

# Back to what was: link, units, settings and certificates together.
old=$(cat "$back/current")
while read -r _ _ _ path; do
    case $path in @*) continue ;; esac
    key=$(printf %s "$path" | sha256sum | cut -c1-64)
    if [ -e "$back/$key" ]; then
        cp -p "$back/$key" "$ROOT$path.machine.$$"
        mv -fT "$ROOT$path.machine.$$" "$ROOT$path"
    elif [ -e "$back/$key.absent" ]; then
        rm -f -- "$ROOT$path"
    fi
done <"$staged/list"
if [ -n "$old" ]; then point "$ENGINE/current" "$old"; fi
key=$(printf %s /etc/docker/daemon.json | sha256sum | cut -c1-64)
if [ -n "$transition" ]; then put "$json" 0644 root:root <"$transition"; fi
settle "$HOME_DIR"
# One that hangs must be gone before the old one can come.
for unit in docker.service; do systemctl kill -s KILL "$unit" >>"$log" 2>&1 || :; done
if start_units all && answers; then
    if [ -n "$transition" ] && [ -e "$back/$key" ]; then
        put "$json" 0644 root:root <"$back/$key"
        bring reload docker.service || :
    fi
    rm -rf -- "$staged" "$back"
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 15 "the engine does not start; the one before runs again"
fi
cat "$HOME_DIR/apply.failed" >&2 || :
explain >&2 || :
fail 13 "the engine does not start, and neither does the one before"
