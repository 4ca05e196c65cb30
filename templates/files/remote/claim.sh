# Writes down whose host this is. The first claim wins; another's is only replaced when asked for.
MACHINE_ID={{ machine_id }}
STORE_ID={{ store_id }}
REPLACE={{ replace }}

open_dir "$HOME_DIR"
new=$HOME_DIR/.owner.$$
trap 'rm -f -- "$new"' EXIT
drop_strays "$HOME_DIR/.owner"
printf 'machine-id=%s\nstore-id=%s\n' "$MACHINE_ID" "$STORE_ID" >"$new"
chmod 0644 "$new"
settle "$new"

if cmp -s "$new" "$HOME_DIR/owner"; then
    say already-so
    exit 0
fi
if [ "$REPLACE" = true ]; then
    mv -fT "$new" "$HOME_DIR/owner"
# A link is made only where nothing is: of two claims at once, one fails here.
elif ! ln -T "$new" "$HOME_DIR/owner" 2>/dev/null; then
    if [ -f "$HOME_DIR/owner" ]; then
        printf 'owner_b64=%s\n' "$(b64 <"$HOME_DIR/owner")"
        fail 10 "the host belongs to machine $(owner_of_host)"
    fi
    fail 1 "cannot write $HOME_DIR/owner"
fi
settle "$HOME_DIR"
say "done"
