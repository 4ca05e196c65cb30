# Says which files are not as wanted, and which settings the engine was last started with. Changes nothing.
# `SHA256 MODE OWNER:GROUP PATH`, one a line.
FILES={{ files }}

printf '%s\n' "$FILES" | while read -r sum mode owner path; do
    [ -n "$sum" ] || continue
    file=$ROOT$path
    if [ ! -f "$file" ] || [ "$(sum_of "$file")" != "$sum" ]; then
        say "differs=$path"
    elif [ "$path" != "$DAEMON_JSON" ] && { [ -L "$file" ] || [ "$(stat -c '%a %U:%G' "$file")" != "${mode#0} $owner" ]; }; then
        say "differs=$path"
    fi
done
if [ -f "$ROOT$STAGED/stamp" ]; then say staged=true; fi
if [ -f "$HOME_DIR/rollback/complete" ]; then say begun=true; fi
say "applied=$(cat "$HOME_DIR/applied" 2>/dev/null || :)"
