# Says whether an engine is there with every file as shipped: `already-so`, `differs` or `absent`. Changes nothing.
DIGEST={{ digest }}
# `SHA256  PATH`, one a line.
SUMS={{ sums }}

# One that goes on without its connection may be bringing it.
await_quiet
if [ ! -d "$ENGINE/$DIGEST" ]; then
    say absent
elif (cd "$ENGINE/$DIGEST" && printf '%s\n' "$SUMS" | sha256sum -c --status - 2>/dev/null); then
    say already-so
else
    say differs
fi
