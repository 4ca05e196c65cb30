# Says which files are not as wanted, and which settings the engine was last started with. Changes nothing.
# `SHA256 MODE OWNER:GROUP PATH`, one a line.
FILES={{ files }}

printf '%s\n' "$FILES" | while read -r sum mode owner path; do
    [ -n "$sum" ] || continue
    file=$ROOT$path
    if [ ! -f "$file" ] || [ -L "$file" ] || [ "$(sum_of "$file")" != "$sum" ] ||
        [ "$(stat -c '%a %U:%G' "$file")" != "${mode#0} $owner" ]; then
        say "differs=$path"
    fi
done
if [ -f "$HOME_DIR/staged/stamp" ]; then say staged=true; fi
say "applied=$(cat "$HOME_DIR/applied" 2>/dev/null || :)"
