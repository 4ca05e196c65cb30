# Brings the engine to the settings that lie staged: all of them, or back to what was. Once begun it ends by itself,
# whether or not anybody still listens.
# Seconds for each unit, and for the engine to answer.
DEADLINE={{ deadline_seconds }}
# A change of daemon.json alone needs no restart.
RELOAD_ENOUGH={{ reload_enough }}
# The engine is the host's own: its units and programs are left alone.
ADOPTED={{ adopted }}

# staged/ holds files named by their sha256, and `list` (`SHA256 MODE OWNER:GROUP PATH`, one a line), `digest` (the engine
# to run; empty for an adopted one), `stamp` (names all of it together). PATH may be one of four
# daemon.json for the way: today's and the new one with live-restore on (@transition, @start), and both with live-restore
# named as it is to be (@undo, @end): a reload does not take back what is no longer named. applied and applied.list are the last stamp and
# list that came into force.
staged=$HOME_DIR/staged
back=$HOME_DIR/rollback
json=/etc/docker/daemon.json
log=$HOME_DIR/apply.log
if [ "$ADOPTED" = true ]; then units=docker.service; else units='containerd.service docker.socket docker.service'; fi

active() { systemctl is-active --quiet "$1"; }
explain() {
    for unit in docker.service docker.socket containerd.service; do
        printf -- '-- %s is %s\n' "$unit" "$(systemctl show -p ActiveState --value "$unit" 2>/dev/null || :)"
    done
    journalctl --no-pager -o cat -n 20 -u docker.service -u containerd.service 2>/dev/null | tail -n 20 || :
}
# KILL, because our children inherit that we ignore the others.
limited() { timeout -s KILL "$DEADLINE" "$@" </dev/null; }
bring() { limited systemctl "$1" "$2" >>"$log" 2>&1; }
# Puts bytes from stdin in place of PATH in one move.
put() {
    to=$ROOT$1
    open_dir "${to%/*}"
    drop_strays "$to.machine"
    cat >"$to.machine.$$"
    chown "$3" "$to.machine.$$"
    chmod "$2" "$to.machine.$$"
    settle "$to.machine.$$"
    if [ -d "$back" ]; then sum_of "$to.machine.$$" >>"$back/written"; fi
    mv -fT "$to.machine.$$" "$to"
}
staged_as() { while read -r sum _ _ path; do if [ "$path" = "$1" ]; then printf %s "$staged/$sum"; fi; done <"$staged/list"; }
point() {
    rm -f -- "$1.$$"
    ln -s "$2" "$1.$$"
    mv -fT "$1.$$" "$1"
}
answers() { docker_here version --format ok >>"$log" 2>&1; }
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
# After a restart with live-restore on: daemon.json as it is to stay, and live-restore as that says.
put_live_restore_back() {
    put "$json" 0644 root:root <"$1"
    bring reload docker.service || :
    if grep -q '"live-restore": false' "$1"; then await_live_restore false || :; fi
    if [ -f "$2" ]; then put "$json" 0644 root:root <"$2"; else rm -f -- "$ROOT$json"; fi
}
# Reloads, and waits for the engine's word that it took the settings: systemctl does not know, and settings it refused
# would keep it from starting the next time.
reload() {
    since=$(date +%s.%N)
    bring reload docker.service || return 1
    tries=0
    until [ -n "$(docker_here events --since "$since" --until "$(date +%s.%N)" --filter type=daemon --filter event=reload 2>>"$log")" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 30 ] || return 1
        sleep 0.1
    done
}
# Ends the transaction: what was is no longer needed, and nothing waits any more.
close_books() {
    rm -rf -- "$back.gone"
    mv -T "$back" "$back.gone"
    rm -f -- "$staged/stamp"
    rm -rf -- "$staged" "$back.gone"
    settle "$HOME_DIR"
}

open_dir "$HOME_DIR"
take_turn
if [ ! -f "$staged/stamp" ]; then
    # Nothing waits to be applied; the engine may still have been stopped, or never have been started.
    all=true
    for unit in $units; do active "$unit" || all=false; done
    # Looking leaves no trace, not even in our own log.
    if [ "$all" = true ] && docker_here version --format ok >/dev/null 2>&1; then say already-so; exit 0; fi
    : >"$log"
    if start_units none && answers; then say "done"; exit 0; fi
    explain >&2
    fail 13 "the engine does not start"
fi

: >"$log"
digest=$(cat "$staged/digest")
before=$(readlink "$ENGINE/current" 2>/dev/null || :)

# Files of ours, those included that the last settings had and these have not.
cut -d ' ' -f 4- "$staged/list" | grep -v '^@' >"$staged/paths"
if [ -f "$HOME_DIR/applied.list" ]; then
    cut -d ' ' -f 4- "$HOME_DIR/applied.list" | grep -v '^@' | grep -vxF -f "$staged/paths" >"$staged/gone" || :
else
    : >"$staged/gone"
fi

# An earlier try that was cut off left what was; which of it the engine has taken up since nobody knows.
restart=none
if [ -f "$back/complete" ]; then restart=all; fi
need() {
    case $1:$restart in
        all:* | docker:none | docker:reload | reload:none) restart=$1 ;;
    esac
}
mkdir -p "$back"
# An earlier try may have ended while it copied: then nothing else had begun.
if [ ! -f "$back/complete" ]; then
    printf %s "$before" >"$back/current"
    if active docker.service; then echo true; else echo false; fi >"$back/was_running"
fi
cat "$staged/paths" "$staged/gone" >"$staged/all"
while read -r path; do
    key=$(key_of "$path")
    if [ -e "$back/$key" ] || [ -e "$back/$key.absent" ]; then continue; fi
    if [ -f "$ROOT$path" ]; then
        cp -p "$ROOT$path" "$back/.copy"
        mv -fT "$back/.copy" "$back/$key"
    else
        : >"$back/$key.absent"
    fi
done <"$staged/all"
cp "$staged/all" "$back/all.$$"
if [ -f "$back/all" ]; then cat "$back/all" >>"$back/all.$$"; fi
mv -fT "$back/all.$$" "$back/all"
settle -f "$back"
: >"$back/complete"

differs() {
    case $1 in
        */containerd.*) need all ;;
        */certs.d/* | "/opt/machine/daemon.wanted.json") ;;
        "$json") if [ "$RELOAD_ENOUGH" = true ]; then need reload; else need docker; fi ;;
        *) need docker ;;
    esac
}
while read -r line; do
    sum=${line%% *} path=/${line#* /}
    case $line in *' @transition' | *' @start' | *' @undo' | *' @end') continue ;; esac
    if [ ! -f "$ROOT$path" ] || [ "$(sum_of "$ROOT$path")" != "$sum" ]; then
        differs "$path"
    elif ! grep -qsxF "$line" "$HOME_DIR/applied.list"; then
        # It lies there as it is to be, but the engine was started under another.
        case $path in "$json") need docker ;; *) differs "$path" ;; esac
    fi
done <"$staged/list"
while read -r path; do differs "$path"; done <"$staged/gone"
if [ -n "$digest" ] && [ "$digest" != "$before" ]; then need all; fi

running=false
if active docker.service; then running=true; fi
transition=$(staged_as @transition)
start=$(staged_as @start)
final=$(staged_as "$json")
case $restart in all | docker) bridged=$running ;; *) bridged=false ;; esac
[ -n "$transition" ] && [ -n "$start" ] || bridged=false

# Containers live through our restart even where the settings say that they would not.
if [ "$bridged" = true ]; then
    put "$json" 0644 root:root <"$transition"
    bring reload docker.service || :
    if ! await_live_restore true; then
        key=$(key_of "$json")
        put_live_restore_back "$(staged_as @undo)" "$back/$key"
        explain >&2 || :
        close_books
        fail 15 "live-restore cannot be switched on, and without it a restart would end the containers; nothing was changed"
    fi
fi
while read -r sum mode owner path; do
    case $path in
        @*) ;;
        "$json") if [ "$bridged" = true ]; then put "$json" 0644 root:root <"$start"; else put "$json" "$mode" "$owner" <"$final"; fi ;;
        *) put "$path" "$mode" "$owner" <"$staged/$sum" ;;
    esac
done <"$staged/list"
while read -r path; do
    rm -f -- "$ROOT$path"
    rmdir -- "$(dirname "$ROOT$path")" 2>/dev/null || :
done <"$staged/gone"
if [ -n "$digest" ] && [ "$digest" != "$before" ]; then
    if [ -n "$before" ]; then point "$ENGINE/previous" "$before"; fi
    point "$ENGINE/current" "$digest"
fi
settle "$HOME_DIR" "$ROOT/etc/docker" "$ROOT/etc/systemd/system"
if [ "$ADOPTED" != true ] && ! getent group docker >/dev/null; then groupadd --system docker; fi

good=true
if [ "$restart" = reload ] && [ "$running" = true ]; then
    reload || good=false
else
    start_units "$restart" || good=false
fi
if [ "$good" = true ]; then answers || good=false; fi

if [ "$good" = true ]; then
    if [ "$bridged" = true ]; then
        put_live_restore_back "$(staged_as @end)" "$final"
    fi
    put /opt/machine/applied.list 0644 root:root <"$staged/list"
    put /opt/machine/applied 0644 root:root <"$staged/stamp"
    close_books
    say "restarted=$restart" || :
    say "done" || :
    exit 0
fi

explain >"$HOME_DIR/apply.failed" 2>&1
if [ ! -f "$HOME_DIR/applied" ] && [ "$(cat "$back/was_running")" != true ]; then
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 13 "the engine does not start"
fi

# Back to what was: link, units, settings and certificates together.
while read -r path; do
    key=$(key_of "$path")
    if [ -e "$back/$key" ]; then
        open_dir "$(dirname "$ROOT$path")"
        cp -p "$back/$key" "$ROOT$path.machine.$$"
        mv -fT "$ROOT$path.machine.$$" "$ROOT$path"
    elif [ -e "$back/$key.absent" ]; then
        rm -f -- "$ROOT$path"
    fi
done <"$back/all"
old=$(cat "$back/current")
if [ -n "$old" ]; then
    point "$ENGINE/current" "$old"
elif [ -n "$digest" ]; then
    rm -f -- "$ENGINE/current"
fi
if [ "$restart" = reload ] && [ "$running" = true ] && answers; then
    settle "$HOME_DIR" "$ROOT/etc/docker"
    close_books
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 15 "the engine does not take the settings; it goes on with those before"
fi
if [ -n "$transition" ]; then put "$json" 0644 root:root <"$transition"; fi
settle "$HOME_DIR" "$ROOT/etc/docker" "$ROOT/etc/systemd/system"
# One that hangs must be gone before the old one can come.
systemctl kill --kill-who=main -s KILL docker.service >>"$log" 2>&1 || :
if start_units all && answers; then
    key=$(key_of "$json")
    if [ -n "$transition" ]; then
        put_live_restore_back "$(staged_as @undo)" "$back/$key"
    fi
    close_books
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 15 "the engine does not start; the one before runs again"
fi
cat "$HOME_DIR/apply.failed" >&2 || :
explain >&2 || :
fail 13 "the engine does not start, and neither does the one before"
