# Brings the engine up, or round again, under a deadline of ours: systemd alone would wait for a hanging one.
# Seconds for each unit.
DEADLINE={{ deadline_seconds }}
RESTART_CONTAINERD={{ restart_containerd }}
RESTART_DOCKER={{ restart_docker }}
# An adopted engine keeps its own containerd and socket units.
ADOPTED={{ adopted }}

explain() {
    for unit in docker.service docker.socket containerd.service; do
        state=$(systemctl show -p ActiveState --value "$unit" 2>/dev/null || :)
        printf -- '-- %s is %s\n' "$unit" "$state"
    done
    journalctl --no-pager -o cat -n 30 -u docker.service -u containerd.service 2>/dev/null || :
} >&2
bring() {
    if ! timeout "$DEADLINE" systemctl "$1" "$2" </dev/null >&2; then
        explain
        fail 13 "$2 does not $1"
    fi
}
active() { systemctl is-active --quiet "$1"; }

if ! getent group docker >/dev/null; then groupadd --system docker; fi
systemctl daemon-reload
if [ "$ADOPTED" = true ]; then
    units=docker.service
else
    units='containerd.service docker.socket docker.service'
fi
before=$(for unit in $units; do systemctl show -p InvocationID --value "$unit"; done)
# shellcheck disable=SC2086 # a list of ours
systemctl enable --quiet $units 2>/dev/null || systemctl enable --quiet docker.service
# Deliberate restarts count against the start limit too, and take the socket down with them.
# shellcheck disable=SC2086
systemctl reset-failed docker.service docker.socket 2>/dev/null || :

if [ "$ADOPTED" != true ]; then
    if ! active docker.socket; then
        # A socket refuses to start under a running service.
        if active docker.service; then bring stop docker.service; fi
        bring start docker.socket
    fi
    if [ "$RESTART_CONTAINERD" = true ]; then bring restart containerd.service; else bring start containerd.service; fi
fi
if [ "$RESTART_DOCKER" = true ]; then bring restart docker.service; else bring start docker.service; fi

after=$(for unit in $units; do systemctl show -p InvocationID --value "$unit"; done)
if [ "$before" = "$after" ]; then say already-so; else say "done"; fi
