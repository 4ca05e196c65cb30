# Writes down whose host this is. The first claim wins; another's is only replaced when asked for.
MACHINE_ID={{ machine_id }}
STORE_ID={{ store_id }}
LAYOUT={{ layout }}
REPLACE={{ replace }}

# What was here before us, for who takes us away again. Taken once: what an earlier machine found is what counts.
# `files` and `folders` name what was there; a file lies beside them as KEY. `links`: `PATH TARGET`, how units are switched on.
# `units`: `UNIT ENABLED ACTIVE`. `listeners` is for people.
take_inventory() {
    drop_strays "$BEFORE"
    list=$BEFORE.$$
    mkdir "$list"
    for name in docker.service docker.socket containerd.service machine-containerd.service; do
        keep_file "$UNITS/$name"
        printf '%s %s %s\n' "$name" "$(systemctl is-enabled "$name" 2>/dev/null || :)" \
            "$(systemctl is-active "$name" 2>/dev/null || :)" >>"$list/units"
    done
    for link in "$ROOT$UNITS"/*.wants/* "$ROOT$UNITS"/*.requires/*; do
        case ${link##*/} in
            docker.service | docker.socket | containerd.service) printf '%s %s\n' "${link#"$ROOT"}" "$(readlink "$link")" ;;
        esac
    done >"$list/links"
    find "$ROOT${DAEMON_JSON%/*}" ! -type d 2>/dev/null | while IFS= read -r file; do keep_file "${file#"$ROOT"}"; done
    find "$ROOT${DAEMON_JSON%/*}" "$ROOT$UNITS" "$ROOT$PROGRAMS" -maxdepth 3 -type d 2>/dev/null |
        while IFS= read -r folder; do printf '%s\n' "${folder#"$ROOT"}"; done >"$list/folders"
    if getent group docker >/dev/null 2>&1; then : >"$list/group"; fi
    ss -Hlntup >"$list/listeners" 2>/dev/null || :
    flush -f "$list"
    mv -T "$list" "$BEFORE"
}
keep_file() {
    [ -e "$ROOT$1" ] || [ -L "$ROOT$1" ] || return 0
    cp -a "$ROOT$1" "$list/$(key_of "$1")"
    printf '%s\n' "$1" >>"$list/files"
    # Behind a link there may be a file that others write too.
    if [ "$1" = "$DAEMON_JSON" ] && [ -f "$ROOT$1" ]; then cp -L "$ROOT$1" "$list/daemon.json"; fi
}

open_dir "$HOME_DIR"
# On a host that an earlier release claimed it would come too late. An engine that only lies there came with the disk.
if [ ! -d "$BEFORE" ] && [ ! -f "$HOME_DIR/owner" ] && [ ! -L "$ENGINE/current" ]; then take_inventory; fi
new=$HOME_DIR/.owner.$$
scratch=$new
drop_strays "$HOME_DIR/.owner"
printf 'machine-id=%s\nstore-id=%s\nlayout=%s\n' "$MACHINE_ID" "$STORE_ID" "$LAYOUT" >"$new"
chmod 0644 "$new"
flush "$new"

if cmp -s "$new" "$HOME_DIR/owner"; then
    say already-so
    exit 0
fi
# Ours already: only the layout was not written down yet.
if [ "$REPLACE" = true ] || [ "$(owner_of_host)" = "$MACHINE_ID" ]; then
    mv -fT "$new" "$HOME_DIR/owner"
# A link is made only where nothing is: of two claims at once, one fails here.
elif ! ln -T "$new" "$HOME_DIR/owner" 2>/dev/null; then
    if [ -f "$HOME_DIR/owner" ]; then
        printf 'owner_b64=%s\n' "$(b64 <"$HOME_DIR/owner")"
        fail 10 "the host belongs to machine $(owner_of_host)"
    fi
    fail 1 "cannot write $HOME_DIR/owner"
fi
flush "$HOME_DIR"
say "done"
