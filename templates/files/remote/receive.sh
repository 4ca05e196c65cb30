# Takes one file from stdin: into a folder only root can see, checked there, then moved into place whole.
TARGET=$ROOT{{ target }}
SIZE={{ size }}
SHA256={{ sha256 }}
MODE={{ mode }}
OWNER={{ owner }}

if [ -f "$TARGET" ] && [ "$(stat -c %s "$TARGET")" = "$SIZE" ] && [ "$(sum_of "$TARGET")" = "$SHA256" ]; then
    if [ "$(stat -c '%a %U:%G' "$TARGET")" = "${MODE#0} $OWNER" ]; then
        say already-so
        exit 0
    fi
    chown "$OWNER" "$TARGET"
    chmod "$MODE" "$TARGET"
    say "done"
    exit 0
fi

dir=$(dirname "$TARGET")
open_dir "$dir"
drop_strays "$dir/.machine-receive"
new=$dir/.machine-receive.$$
mkdir "$new"
trap 'rm -rf -- "$new"' EXIT

# One byte more than promised is as wrong as one less.
head -c "$((SIZE + 1))" >"$new/body"
got=$(stat -c %s "$new/body")
[ "$got" = "$SIZE" ] || fail 11 "$TARGET: $got bytes arrived of $SIZE"
[ "$(sum_of "$new/body")" = "$SHA256" ] || fail 11 "$TARGET: what arrived has another checksum"
chown "$OWNER" "$new/body"
chmod "$MODE" "$new/body"
settle "$new/body"
mv -fT "$new/body" "$TARGET"
settle "$dir"
say "done"
