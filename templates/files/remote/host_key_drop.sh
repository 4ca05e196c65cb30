# Forgets the pending copy, and with it the way back to the injected key. Only after a connection under the new key.
key=$HOME_DIR/ssh/pending
if [ ! -e "$key" ] && [ ! -e "$key.pub" ]; then
    say already-so
    exit 0
fi
cmp -s "$key" "$ROOT/etc/ssh/ssh_host_ed25519_key" || fail 1 "sshd does not use the pending host key yet"
rm -f -- "$key"
rm -f -- "$key.pub"
rmdir "$HOME_DIR/ssh" 2>/dev/null || :
flush "$HOME_DIR"
say "done"
