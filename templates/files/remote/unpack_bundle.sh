# Takes an engine bundle (a .tar.gz) from stdin: unpacked out of sight, every file checked, every program tried, then
# moved into place whole.
DIGEST={{ digest }}
# `SHA256  PATH`, one a line: every regular file of the bundle but its manifest.json, and nothing else.
SUMS={{ sums }}
# `PATH ARGUMENT…`, one a line: what must run here.
CHECKS={{ checks }}

target=$ENGINE/$DIGEST
matches() { (cd "$1" && printf '%s\n' "$SUMS" | sha256sum -c --status - 2>/dev/null); }
try_programs() {
    printf '%s\n' "$CHECKS" | while read -r program arguments; do
        [ -n "$program" ] || continue
        # shellcheck disable=SC2086 # arguments are words of ours
        if ! answer=$(PATH=$1/bin:$PATH timeout 20 "$1/$program" $arguments 2>&1 </dev/null); then
            fail 12 "$program does not run here: $answer"
        fi
        printf 'version:%s=%s\n' "$program" "$(printf '%s\n' "$answer" | head -n 1)"
    done
}

open_dir "$ENGINE"
for stray in "$ENGINE"/.tmp.*; do
    [ -e "$stray" ] || continue
    alive "${stray##*.}" || rm -rf -- "$stray"
done
if [ -d "$target" ] && matches "$target"; then
    try_programs "$target"
    say already-so
    exit 0
fi

new=$ENGINE/.tmp.$DIGEST.$$
mkdir "$new"
scratch=$new
if ! why=$(tar --no-same-owner -xzf - -C "$new" 2>&1); then fail 11 "the bundle arrived incomplete: $why"; fi
if ! why=$(cd "$new" && printf '%s\n' "$SUMS" | sha256sum -c --quiet - 2>&1); then fail 11 "the bundle arrived incomplete: $why"; fi
wanted=$(printf '%s\n' "$SUMS" | grep -c .)
found=$(find "$new" -type f ! -path "$new/manifest.json" | wc -l)
[ "$wanted" -eq "$found" ] || fail 11 "the bundle holds $found files, $wanted were announced"
odd=$(find "$new" ! -type f ! -type d ! -type l)
[ -z "$odd" ] || fail 11 "the bundle holds what is neither file nor folder: $odd"
find "$new" -type l | while read -r link; do
    case $(readlink "$link") in /* | ..* | */../*) fail 11 "the bundle holds a link that leads out of it: $link" ;; esac
done
chown -R 0:0 "$new"
chmod -R u+rwX,go-w,a+rX "$new"
try_programs "$new"

take_turn
# One that went on without its connection may have brought it meanwhile.
if [ -d "$target" ] && matches "$target"; then
    say already-so
    exit 0
fi
flush -f "$new"
# A damaged folder of the same name makes way; programs that run from it keep their files.
if [ -e "$target" ]; then
    old=$ENGINE/.tmp.old.$$
    mv -T "$target" "$old"
    mv -T "$new" "$target"
    rm -rf -- "$old"
else
    mv -T "$new" "$target"
fi
flush "$ENGINE"
say "done"
