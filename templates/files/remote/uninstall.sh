# Removes what we installed: units, engines, links, keys. Images, containers and volumes stay unless asked for.
# stdin: base64 of what is to stay in daemon.json, which others wrote there; nothing where it is ours alone.
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

units=$ROOT/etc/systemd/system
dropin=$units/docker.service.d/10-machine.conf
if ours "$units/docker.service"; then
    # Without an engine nobody could stop them any more.
    docker=$ENGINE/current/bin/docker
    if [ -z "$ROOT" ] && [ -x "$docker" ] && running=$(docker_here ps -q 2>/dev/null) && [ -n "$running" ]; then
        # shellcheck disable=SC2086 # ids are words
        docker_here stop -t 10 $running >&2 || :
    fi
    for unit in docker.service docker.socket containerd.service; do
        ours "$units/$unit" || continue
        if [ -z "$ROOT" ]; then
            timeout -s KILL "$DEADLINE" systemctl stop "$unit" </dev/null >&2 || :
            systemctl disable --quiet "$unit" 2>/dev/null || :
        fi
        rm -f -- "$units/$unit"
    done
fi
adopted=
if ours "$dropin"; then
    adopted=1
    rm -f -- "$dropin"
    rmdir "$units/docker.service.d" 2>/dev/null || :
fi
printf '%s\n' "$FILES" | while IFS= read -r path; do
    [ -n "$path" ] || continue
    rm -f -- "$ROOT$path"
    # The folders made for it, unless somebody has put something there.
    dir=$(dirname "$path")
    while [ "$dir" != /etc ] && [ "$dir" != / ] && rmdir -- "$ROOT$dir" 2>/dev/null; do dir=$(dirname "$dir"); done
done
if [ -n "${kept-}" ]; then
    json=$ROOT/etc/docker/daemon.json
    printf %s "$kept" | base64 -d >"$json.machine.$$"
    chmod 0644 "$json.machine.$$"
    mv -fT "$json.machine.$$" "$json"
fi
for link in "$ROOT/usr/local/bin"/*; do
    [ -L "$link" ] || continue
    case $(readlink "$link") in "$ENGINE"/*) rm -f -- "$link" ;; esac
done
if [ -z "$ROOT" ]; then
    systemctl daemon-reload
    systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null || :
    if [ -n "$adopted" ]; then timeout -s KILL "$DEADLINE" systemctl restart docker.service </dev/null >&2 || fail 13 "docker.service does not restart"; fi
fi
if [ "$REMOVE_DATA" = true ] && [ -z "$adopted" ]; then rm -rf -- "$ROOT/var/lib/docker" "$ROOT/var/lib/containerd"; fi
rm -rf -- "$HOME_DIR"
say "done"
