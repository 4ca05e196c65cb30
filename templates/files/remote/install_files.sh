# Puts small files in place, each whole, only those that differ. stdin: a tar whose members are named by their sha256.
# `SHA256 MODE OWNER:GROUP PATH`, one a line.
FILES={{ files }}

open_dir "$HOME_DIR"
drop_strays "$HOME_DIR/.install"
new=$HOME_DIR/.install.$$
mkdir "$new"
scratch=$new
if ! why=$(tar --no-same-owner -xf - -C "$new" 2>&1); then fail 11 "the files arrived incomplete: $why"; fi

# Everything is checked before anything is touched.
printf '%s\n' "$FILES" | while read -r sum mode owner path; do
    [ -n "$sum" ] || continue
    [ -f "$new/$sum" ] && [ "$(sum_of "$new/$sum")" = "$sum" ] || fail 11 "$path arrived incomplete"
done || exit $?

take_turn
printf '%s\n' "$FILES" | {
    answer=already-so
    while read -r sum mode owner path; do
        [ -n "$sum" ] || continue
        path=$ROOT$path
        if [ -f "$path" ] && [ ! -L "$path" ] && [ "$(sum_of "$path")" = "$sum" ]; then
            if [ "$(stat -c '%a %U:%G' "$path")" != "${mode#0} $owner" ]; then
                chown "$owner" "$path"
                chmod "$mode" "$path"
                answer=done
            fi
            continue
        fi
        put "$path" "$mode" "$owner" <"$new/$sum"
        flush "$(dirname "$path")"
        say "changed=${path#"$ROOT"}"
        answer=done
    done
    say "$answer"
}
