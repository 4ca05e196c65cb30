# Switches sshd to the key that host_key_make made. The pending copy stays until host_key_drop.
key=$HOME_DIR/ssh/pending
host=$ROOT/etc/ssh/ssh_host_ed25519_key
[ -s "$key" ] || fail 1 "no pending host key"
answer=already-so
if ! cmp -s "$key" "$host" || ! cmp -s "$key.pub" "$host.pub"; then
    put "$host" 0600 root:root <"$key"
    put "$host.pub" 0644 root:root <"$key.pub"
    flush "${host%/*}"
    answer=done
fi
# Also where the files were there: who put them may have been killed before this.
if [ -z "$ROOT" ]; then
    # Debian says ssh, others sshd. Socket-activated ones read the key anew by themselves.
    systemctl reload ssh.service 2>/dev/null || systemctl reload sshd.service 2>/dev/null ||
        systemctl is-active --quiet ssh.socket || systemctl is-active --quiet sshd.socket ||
        fail 1 "sshd does not reload"
fi
say "$answer"
