# Brings the engine to the settings that lie staged: all of them, or back to what was. Once begun it ends by itself,
# whether or not anybody still listens.
# Seconds for each unit, and for the engine to answer.
DEADLINE={{ deadline_seconds }}
# A change of daemon.json alone needs no restart.
RELOAD_ENOUGH={{ reload_enough }}
# The engine is the host's own: its units and programs are left alone.
ADOPTED={{ adopted }}
# An engine that does not run is started; else it only gets its settings.
START_STOPPED={{ start_stopped }}

# staged/ holds files named by their sha256, and `list` (`SHA256 MODE OWNER:GROUP PATH`, one a line), `digest` (the engine
# to run; empty for an adopted one), `stamp` (names all of it together). PATH may be one of four
# daemon.json for the way: today's and the new one with live-restore on (@transition, @start), and both with live-restore
# named as it is to be (@undo, @end): a reload does not take back what is no longer named. applied and applied.list are the last stamp and
# list that came into force.
staged=$ROOT$STAGED
back=$HOME_DIR/rollback
json=$DAEMON_JSON
written=$back/written
log=$HOME_DIR/apply.log
containerd=machine-containerd.service
if [ "$(layout)" = 1 ] || grep -qs " $UNITS/containerd.service\$" "$staged/list"; then containerd=containerd.service; fi
if [ "$ADOPTED" = true ]; then units=docker.service; else units="$containerd docker.socket docker.service"; fi

active() { systemctl is-active --quiet "$1"; }
explain() {
    for unit in docker.service docker.socket "$containerd"; do
        printf -- '-- %s is %s\n' "$unit" "$(systemctl show -p ActiveState --value "$unit" 2>/dev/null || :)"
    done
    journalctl --no-pager -o cat -n 20 -u docker.service -u "$containerd" 2>/dev/null | tail -n 20 || :
}
state() { systemctl show -p ActiveState --value "$1" 2>/dev/null || :; }
# Processor time, in ticks, that a unit's main process and those it has waited for have used.
used() { sed 's/.*) //' "/proc/$(systemctl show -p MainPID --value "$1" 2>/dev/null)/stat" 2>/dev/null | cut -d ' ' -f 12-15 || :; }
# Seconds alone say nothing on a slow computer: what is on its way and works is waited for, for ten minutes more. One that
# does nothing for fifteen seconds hangs.
bring() {
    if limited systemctl "$1" "$2" >>"$log" 2>&1; then return 0; fi
    case $1 in start | restart) ;; *) return 1 ;; esac
    looks=0 still=0
    while [ "$looks" -lt 120 ] && [ "$still" -lt 3 ] && [ "$(state "$2")" = activating ]; do
        before=$(used "$2")
        sleep 5
        if [ "$(used "$2")" = "$before" ]; then still=$((still + 1)); else still=0; fi
        looks=$((looks + 1))
    done
    active "$2"
}
staged_as() { while read -r sum _ _ path; do if [ "$path" = "$1" ]; then printf %s "$staged/$sum"; fi; done <"$staged/list"; }
answers() { docker_here version --format ok >>"$log" 2>&1; }
# Deliberate restarts count against the start limit too, and would take the socket down with them.
resocket='' socket_changed=''
start_units() {
    # Once for both: by itself `enable` would have systemd read everything anew, too.
    # shellcheck disable=SC2086 # a list of ours
    systemctl enable --quiet --no-reload $units >>"$log" 2>&1 || :
    systemctl daemon-reload >>"$log" 2>&1
    # shellcheck disable=SC2086
    systemctl reset-failed $units >>"$log" 2>&1 || :
    if [ "$ADOPTED" != true ]; then
        if [ -n "$resocket" ] && active docker.socket; then
            bring stop docker.service || return 1
            bring restart docker.socket || return 1
            resocket=
        elif ! active docker.socket; then
            # A socket refuses to start under a running service.
            if active docker.service; then bring stop docker.service || return 1; fi
            bring start docker.socket || return 1
        fi
        if [ "$1" = all ]; then bring restart "$containerd" || return 1; else bring start "$containerd" || return 1; fi
    fi
    if [ "$1" = none ]; then bring start docker.service; else bring restart docker.service; fi
}
# After a restart with live-restore on: daemon.json as it is to stay, and live-restore as that says.
put_live_restore_back() {
    put "$ROOT$json" - <"$1"
    bring reload docker.service || :
    if grep -q '"live-restore": false' "$1"; then await_live_restore false || :; fi
    if [ -f "$2" ]; then put "$ROOT$json" - <"$2"; else take_away "$ROOT$json"; fi
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
    flush "$HOME_DIR"
}

open_dir "$HOME_DIR"
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

# Files of ours, those included that the last settings had, or an earlier try that was cut off, and these have not.
cut -d ' ' -f 4- "$staged/list" | grep -v '^@' >"$staged/paths" || :
{
    if [ -f "$HOME_DIR/applied.list" ]; then cut -d ' ' -f 4- "$HOME_DIR/applied.list" | grep -v '^@' || :; fi
    if [ -f "$back/complete" ]; then cat "$back/all"; fi
} | sort -u | grep -vxF -f "$staged/paths" >"$staged/gone" || :

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
    if [ -e "$back/$key" ] || [ -e "$back/$key.absent" ]; then
        # What its owner has written since an earlier try was cut off is what was.
        if [ "$path" != "$json" ] || [ "$(as_left "$path")" != "$ROOT$path" ]; then continue; fi
        if [ -f "$ROOT$path" ]; then rm -f -- "$back/$key.absent"; else rm -f -- "$back/$key"; fi
    fi
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
flush -f "$back"
: >"$back/complete"

differs() {
    case $1 in
        */containerd.* | */machine-containerd.*) need all ;;
        */docker.socket) resocket=true socket_changed=true; need docker ;;
        */certs.d/* | "$DAEMON_WANTED") ;;
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
    put "$ROOT$json" - <"$transition"
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
        "$json") if [ "$bridged" = true ]; then put "$ROOT$json" - <"$start"; else put "$ROOT$json" - <"$final"; fi ;;
        # What is not staged stays as it lies there.
        *) [ ! -f "$staged/$sum" ] || put "$ROOT$path" "$mode" "$owner" <"$staged/$sum" ;;
    esac
done <"$staged/list"
while read -r path; do
    # The engine is restarted under it first.
    if [ "$bridged" = true ] && [ "$path" = "$json" ]; then put "$ROOT$json" - <"$start"; continue; fi
    take_away "$ROOT$path"
    rmdir -- "$(dirname "$ROOT$path")" 2>/dev/null || :
done <"$staged/gone"
if [ -n "$digest" ] && [ "$digest" != "$before" ]; then
    if [ -n "$before" ]; then point "$ENGINE/previous" "$before"; fi
    point "$ENGINE/current" "$digest"
fi
flush "$HOME_DIR" "$ROOT${DAEMON_JSON%/*}" "$ROOT$UNITS"
if [ "$ADOPTED" != true ] && ! getent group docker >/dev/null; then groupadd --system docker; fi

good=true
if [ "$running" != true ] && [ "$START_STOPPED" != true ]; then
    systemctl daemon-reload >>"$log" 2>&1 || :
else
    if [ "$restart" = reload ] && [ "$running" = true ]; then
        reload || good=false
    else
        start_units "$restart" || good=false
    fi
    if [ "$good" = true ]; then answers || good=false; fi
fi

if [ "$good" = true ]; then
    if [ "$bridged" = true ]; then
        put_live_restore_back "$(staged_as @end)" "$final"
    fi
    put "$HOME_DIR/applied.list" 0644 root:root <"$staged/list"
    put "$HOME_DIR/applied" 0644 root:root <"$staged/stamp"
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
    if [ -e "$back/$key" ] && [ "$path" = "$json" ]; then
        put "$ROOT$path" - <"$back/$key"
    elif [ -e "$back/$key" ]; then
        open_dir "$(dirname "$ROOT$path")"
        cp -p "$back/$key" "$ROOT$path.machine.$$"
        mv -fT "$ROOT$path.machine.$$" "$ROOT$path"
    elif [ -e "$back/$key.absent" ]; then
        take_away "$ROOT$path"
    fi
done <"$back/all"
old=$(cat "$back/current")
if [ -n "$old" ]; then
    point "$ENGINE/current" "$old"
elif [ -n "$digest" ]; then
    rm -f -- "$ENGINE/current"
fi
if [ "$restart" = reload ] && [ "$running" = true ] && answers; then
    flush "$HOME_DIR" "$ROOT${DAEMON_JSON%/*}"
    close_books
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 15 "the engine does not accept the settings; the previous ones stay in force"
fi
if [ -n "$transition" ]; then put "$ROOT$json" - <"$transition"; fi
flush "$HOME_DIR" "$ROOT${DAEMON_JSON%/*}" "$ROOT$UNITS"
resocket=$socket_changed
# One that hangs must be gone before the old one can come.
systemctl kill --kill-who=main -s KILL docker.service >>"$log" 2>&1 || :
if start_units all && answers; then
    key=$(key_of "$json")
    if [ -n "$transition" ]; then
        put_live_restore_back "$(staged_as @undo)" "$back/$key"
    fi
    close_books
    cat "$HOME_DIR/apply.failed" >&2 || :
    fail 15 "the engine does not start; the previous one is running again"
fi
cat "$HOME_DIR/apply.failed" >&2 || :
explain >&2 || :
fail 13 "the engine does not start, and neither does the previous one"
