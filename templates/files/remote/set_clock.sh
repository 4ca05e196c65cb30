# Sets the clock where it is wrong: that of a guest stands still while its computer sleeps. Nobody's turn is waited for: the
# clock is no part of what scripts change.
# Seconds since 1970 by the computer's clock, and how many may be between the two.
NOW={{ now }} SLACK={{ slack_seconds }}
off=$(($(date +%s) - NOW))
if [ "${off#-}" -le "$SLACK" ]; then
    say already-so
    exit
fi
date -u -s "@$NOW" >/dev/null || fail 1 "the host's clock cannot be set"
say "off=$off"
say done
