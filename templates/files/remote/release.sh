# Lets go of a host whose engine was closed, or never came to be: our keys and our claim go, the rest stays.
MACHINE_ID={{ machine_id }}
# Paths, one a line, that are ours to delete: certificates and keys; of an adopted engine all that we added.
FILES={{ files }}

owner=$(owner_of_host)
if [ -z "$owner" ]; then
    say already-so
    exit 0
fi
[ "$owner" = "$MACHINE_ID" ] || fail 10 "the host belongs to machine $owner"

printf '%s\n' "$FILES" | while IFS= read -r path; do
    [ -z "$path" ] || rm -f -- "$ROOT$path"
done
rm -rf -- "$ROOT$STAGED" "$HOME_DIR/applied" "$HOME_DIR/applied.list" "$HOME_DIR/rollback"
# Last: until now a second run would start over.
rm -f -- "$HOME_DIR/owner"
# An adopted engine was never in there.
if [ ! -d "$ENGINE" ]; then rm -rf -- "$HOME_DIR"; fi
say "done"
