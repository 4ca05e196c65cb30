# Lets a host go: the engine and its containers stay, what we opened to the network is closed, our keys go.
# stdin: three lines of base64: today's daemon.json with live-restore on, the one to leave behind with live-restore on, and
# the one to leave behind (empty: none). An engine that starts without live-restore ends the containers it finds.
MACHINE_ID={{ machine_id }}
# Paths, one a line, that are ours to delete: certificates and keys.
FILES={{ files }}
DEADLINE={{ deadline_seconds }}

owner=$(owner_of_host)
if [ -z "$owner" ]; then
    say already-so
    exit 0
fi
[ "$owner" = "$MACHINE_ID" ] || fail 10 "the host belongs to machine $owner"
IFS= read -r transitional || fail 11 "the new settings did not arrive"
IFS= read -r start || fail 11 "the new settings did not arrive"
IFS= read -r final || fail 11 "the new settings did not arrive"

# From here on a lost connection stops nothing half-way.
trap '' HUP INT TERM PIPE
json=$ROOT/etc/docker/daemon.json
put() {
    drop_strays "$json"
    printf %s "$1" | base64 -d >"$json.$$"
    chmod 0644 "$json.$$"
    settle "$json.$$"
    mv -fT "$json.$$" "$json"
}
if [ -f "$json" ] && systemctl is-active --quiet docker.service; then
    put "$transitional"
    timeout "$DEADLINE" systemctl reload docker.service </dev/null >&2 || fail 13 "docker.service does not reload"
    put "$start"
    systemctl reset-failed docker.service docker.socket 2>/dev/null || :
    if ! timeout "$DEADLINE" systemctl restart docker.service </dev/null >&2; then
        journalctl --no-pager -o cat -n 30 -u docker.service >&2 2>/dev/null || :
        fail 13 "docker.service does not restart"
    fi
    if [ -n "$final" ]; then put "$final"; else rm -f -- "$json"; fi
    timeout "$DEADLINE" systemctl reload docker.service </dev/null >&2 || :
elif [ -n "$final" ]; then
    open_dir "${json%/*}"
    put "$final"
else
    rm -f -- "$json"
fi
printf '%s\n' "$FILES" | while IFS= read -r path; do
    [ -z "$path" ] || rm -f -- "$ROOT$path"
done
# Last: until now a second run would start over.
rm -f -- "$HOME_DIR/owner"
say "done"
