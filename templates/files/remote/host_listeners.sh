# Says at which TCP ports of the host programs of these containers listen: they have its network, and the engine publishes
# nothing of theirs. Changes nothing.
# Their ids, with spaces between.
IDS={{ ids }}

# Of the host's own network: `INODE ADDRESS:PORT` of each socket that listens, in the kernel's words.
listening=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _ _ _ _ _ inode _; do
    if [ "$state" = 0A ]; then printf '%s %s\n' "$inode" "$local"; fi
done)
for id in $IDS; do
    for file in $(grep -ls -e "$id" /proc/[0-9]*/cgroup || :); do
        pid=${file#/proc/} pid=${pid%/cgroup}
        # shellcheck disable=SC2012 # names of open files are numbers
        open=" $(ls -l "/proc/$pid/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' | tr '\n' ' ') "
        printf '%s\n' "$listening" | while read -r inode local; do
            case $open in *" $inode "*) say "listener=$id $local" ;; esac
        done
    done
done
say done
