# Makes the host's next SSH key, on the host, and says its public half. sshd keeps the present one.
open_dir "$HOME_DIR"
mkdir -p "$HOME_DIR/ssh"
key=$HOME_DIR/ssh/pending
answer=already-so
if [ ! -s "$key.pub" ] || [ ! -s "$key" ]; then
    drop_strays "$key"
    new=$key.$$
    mkdir "$new"
    scratch=$new
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$new/key" </dev/null >&2
    flush "$new/key" "$new/key.pub"
    # The private half last: a key is there once both are.
    mv -f "$new/key.pub" "$key.pub"
    mv -f "$new/key" "$key"
    flush "$HOME_DIR/ssh"
    answer=done
fi
say "public=$(cut -d ' ' -f 1,2 "$key.pub")"
say "$answer"
