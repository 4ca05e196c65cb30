# Says whether a file is there and has these bytes: `already-so`, `differs` or `absent`. Changes nothing.
TARGET=$ROOT{{ target }}
SHA256={{ sha256 }}

if [ ! -f "$TARGET" ]; then
    say absent
elif [ "$(sum_of "$TARGET")" = "$SHA256" ]; then
    say already-so
else
    say differs
fi
