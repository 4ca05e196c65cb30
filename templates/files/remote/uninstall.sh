# Removes what we installed: units, engines, links, keys. Images, containers and volumes stay unless asked for.
# What was in the place of any of it comes back, as claim.sh wrote it down.
# stdin: base64 of what is to stay in daemon.json, which others wrote there; nothing where it is ours alone; `as-before` where
# that is what was there before us.
MACHINE_ID={{ machine_id }}
# Paths, one a line, that are ours to delete: daemon.json, certificates and keys.
FILES={{ files }}
REMOVE_DATA={{ remove_data }}
DEADLINE={{ deadline_seconds }}

IFS= read -r kept || :
take_turn
owner=$(owner_of_host)
if [ -z "$owner" ] && [ ! -d "$HOME_DIR" ]; then
    say already-so
    exit 0
fi
if [ -n "$owner" ] && [ "$owner" != "$MACHINE_ID" ]; then fail 10 "the host belongs to machine $owner"; fi

units=$ROOT$UNITS
if ours "$units/docker.service"; then
    # Without an engine nobody could stop them any more.
    docker=$ENGINE/current/bin/docker
    if [ -z "$ROOT" ] && [ -x "$docker" ] && running=$(docker_here ps -q 2>/dev/null) && [ -n "$running" ]; then
        # shellcheck disable=SC2086 # ids are words
        docker_here stop -t 10 $running >&2 || :
    fi
    for unit in docker.service docker.socket containerd.service machine-containerd.service; do
        ours "$units/$unit" || continue
        if [ -z "$ROOT" ]; then
            limited systemctl stop "$unit" >&2 || :
            systemctl disable --quiet "$unit" 2>/dev/null || :
        fi
        # systemd leaves sockets behind.
        sed -n 's/^ListenStream=//p' "$units/$unit" | while read -r socket; do
            if [ -S "$ROOT$socket" ] && [ ! -L "$ROOT$socket" ]; then rm -f -- "$ROOT$socket"; fi
        done
        rm -f -- "$units/$unit"
    done
fi
adopted=
# Earlier releases had 10-machine.conf.
for dropin in "$units/docker.service.d"/*machine.conf; do
    ours "$dropin" || continue
    adopted=1
    rm -f -- "$dropin"
    rmdir "$units/docker.service.d" 2>/dev/null || :
done
was_folder() { grep -qsxF -- "$1" "$BEFORE/folders"; }
printf '%s\n' "$FILES" | while IFS= read -r path; do
    [ -n "$path" ] || continue
    take_away "$ROOT$path"
    # The folders made for it, unless somebody has put something there.
    dir=$(dirname "$path")
    while [ "$dir" != /etc ] && [ "$dir" != / ] && ! was_folder "$dir" && rmdir -- "$ROOT$dir" 2>/dev/null; do
        dir=$(dirname "$dir")
    done
done
case ${kept-} in
    '') ;;
    as-before) put "$ROOT$DAEMON_JSON" - <"$BEFORE/daemon.json" ;;
    *)
        text=$(printf %s "$kept" | base64 -d)
        printf '%s\n' "$text" | put "$ROOT$DAEMON_JSON" -
        ;;
esac
# What lay where we put something of ours.
if [ -f "$BEFORE/files" ]; then
    while IFS= read -r path; do
        case $path in
            "$DAEMON_JSON") continue ;;
            "$UNITS"/*) ;;
            *) printf '%s\n' "$FILES" | grep -qxF -- "$path" || continue ;;
        esac
        [ -e "$ROOT$path" ] || [ -L "$ROOT$path" ] || cp -a "$BEFORE/$(key_of "$path")" "$ROOT$path"
    done <"$BEFORE/files"
fi
for link in "$ROOT$PROGRAMS"/*; do
    [ -L "$link" ] || continue
    case $(readlink "$link") in "$ENGINE"/*) rm -f -- "$link" ;; esac
done
if [ -z "$ROOT" ]; then
    systemctl daemon-reload
    systemctl reset-failed docker.service docker.socket machine-containerd.service 2>/dev/null || :
    if [ -n "$adopted" ]; then limited systemctl restart docker.service >&2 || fail 13 "docker.service does not restart"; fi
fi
# How units were switched on, and what ran.
if [ -z "$ROOT" ] && [ -z "$adopted" ] && [ -d "$BEFORE" ]; then
    while read -r link target; do
        [ "$(readlink "$link" 2>/dev/null || :)" = "$target" ] || { open_dir "${link%/*}"; point "$link" "$target"; }
    done <"$BEFORE/links"
    systemctl daemon-reload
    while read -r unit _ state; do
        case $state in active) limited systemctl start "$unit" >&2 || : ;; esac
    done <"$BEFORE/units"
    if [ ! -f "$BEFORE/group" ] && [ "$(getent group docker | cut -d: -f4)" = "" ]; then groupdel docker 2>/dev/null || :; fi
fi
if [ "$REMOVE_DATA" = true ] && [ -z "$adopted" ]; then
    rm -rf -- "$ROOT/var/lib/docker" "$ROOT/var/lib/machine/containerd"
fi
if [ -z "$adopted" ]; then rm -rf -- "${ROOT}${OWN_SOCKET%/*}"; fi
rm -rf -- "$HOME_DIR"
say "done"
