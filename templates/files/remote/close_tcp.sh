# Lets a host go: the engine and its containers stay, what we opened to the network is closed, our keys go. An adopted
# engine is left as its package has it.
# stdin, lines of base64: today's daemon.json with live-restore on; the one to leave behind with live-restore on; the
# same with live-restore named as it is to be (a reload does not take back what is no longer named); the one to leave
# behind (empty: none); what of it is ours (empty: nothing). An engine that starts without live-restore ends the
# containers it finds.
MACHINE_ID={{ machine_id }}
# Paths, one a line, that are ours to delete: certificates and keys.
FILES={{ files }}
DEADLINE={{ deadline_seconds }}
# Whether live-restore is to stay on.
LIVE_RESTORE={{ live_restore }}

for name in transition start end final wanted; do
    IFS= read -r "${name?}" || fail 11 "the new settings did not arrive"
done
take_turn
owner=$(owner_of_host)
if [ -z "$owner" ]; then
    say already-so
    exit 0
fi
[ "$owner" = "$MACHINE_ID" ] || fail 10 "the host belongs to machine $owner"

json=$ROOT/etc/docker/daemon.json
back=$HOME_DIR/rollback
dropin=$ROOT/etc/systemd/system/docker.service.d/10-machine.conf
limited() { timeout -s KILL "$DEADLINE" "$@" </dev/null; }
# Puts base64 in place of PATH in one move; nothing takes the file away.
put() {
    if [ -z "$2" ]; then rm -f -- "$1"; return; fi
    open_dir "${1%/*}"
    drop_strays "$1.machine"
    printf %s "$2" | base64 -d >"$1.machine.$$"
    chmod 0644 "$1.machine.$$"
    settle "$1.machine.$$"
    sum_of "$1.machine.$$" >>"$back/written"
    mv -fT "$1.machine.$$" "$1"
}
# Whoever is cut off here begins again with the settings as they were.
mkdir -p "$back"
key=$(key_of /etc/docker/daemon.json)
if [ -f "$json" ] && [ ! -e "$back/$key" ]; then
    cp -p "$json" "$back/.copy"
    mv -fT "$back/.copy" "$back/$key"
fi
if [ -f "$json" ] && systemctl is-active --quiet docker.service; then
    put "$json" "$transition"
    limited systemctl reload docker.service >&2 || fail 13 "docker.service does not reload"
    # In a swarm it stays off, and the swarm starts its containers anew.
    await_live_restore true || :
    put "$json" "$start"
    if ours "$dropin"; then rm -f -- "$dropin"; fi
    systemctl daemon-reload >&2
    systemctl reset-failed docker.service docker.socket 2>/dev/null || :
    if ! limited systemctl restart docker.service >&2; then
        journalctl --no-pager -o cat -n 30 -u docker.service >&2 2>/dev/null || :
        fail 13 "docker.service does not restart"
    fi
    put "$json" "$end"
    limited systemctl reload docker.service >&2 || :
    await_live_restore "$LIVE_RESTORE" || :
    put "$json" "$final"
else
    put "$json" "$final"
    if ours "$dropin"; then
        rm -f -- "$dropin"
        systemctl daemon-reload >&2 || :
    fi
fi
rmdir "${dropin%/*}" 2>/dev/null || :
put "$HOME_DIR/daemon.wanted.json" "$wanted"
printf '%s\n' "$FILES" | while IFS= read -r path; do
    [ -z "$path" ] || rm -f -- "$ROOT$path"
done
rm -rf -- "$HOME_DIR/staged" "$HOME_DIR/applied" "$HOME_DIR/applied.list" "$back"
# Last: until now a second run would start over.
rm -f -- "$HOME_DIR/owner"
# An adopted engine was never in there.
if [ ! -d "$ENGINE" ]; then rm -rf -- "$HOME_DIR"; fi
say "done"
