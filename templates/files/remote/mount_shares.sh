# Brings the folders of the user's computer to where they are to be; those of ours that are not wanted any more go.
# Lines of fstab(5), ours by their first field, which is the name under which the hypervisor offers the folder.
LINES={{ lines }}
# Say `missing=NAME` of what the hypervisor does not offer, and change nothing.
LOOK={{ look }}

fstab=$ROOT/etc/fstab
offers=$ROOT/sys/bus/virtio/drivers/9pnet_virtio
# fstab's own escapes are octal, as are printf's.
plain() { printf %b "$ROOT$1"; }
# The same as /proc/mounts has it, which escapes alike.
mounted() { cut -d ' ' -f 1,2 "$ROOT/proc/mounts" | grep -qxF "$1 $2"; }

if [ -n "$LINES" ] && [ ! -d "$offers" ] && ! why=$(modprobe 9pnet_virtio 2>&1); then
    printf '%s\n' "$why" >&2
    fail 1 "the kernel here has no 9p over virtio, by which folders are shared"
fi
offered=$(for file in "$offers"/virtio*/mount_tag; do
    [ ! -f "$file" ] || printf '%s\n' "$(tr -d '\0' <"$file")"
done)
wanted=$(printf '%s\n' "$LINES" | cut -d ' ' -f 1)
if [ "$LOOK" = true ]; then
    for name in $wanted; do printf '%s\n' "$offered" | grep -qxF "$name" || say "missing=$name"; done
    say "done"
    exit 0
fi

take_turn
touch "$fstab"
# What is not wanted goes before its line does.
grep -E '^machine-[0-9a-f]+ ' "$fstab" | while read -r name target _; do
    if printf '%s\n' "$wanted" | grep -qxF "$name"; then continue; fi
    if mounted "$name" "$target" && ! why=$(umount "$(plain "$target")" 2>&1); then fail 1 "$why"; fi
    rmdir -- "$(plain "$target")" 2>/dev/null || :
done || exit $?
new=$fstab.new.$$
drop_strays "$fstab.new"
scratch=$new
grep -Ev '^machine-[0-9a-f]+ ' "$fstab" >"$new" || :
[ -z "$LINES" ] || printf '%s\n' "$LINES" >>"$new"
if ! cmp -s "$new" "$fstab"; then
    put "$fstab" 0644 root:root <"$new"
    [ -n "$ROOT" ] || systemctl daemon-reload
fi
printf '%s\n' "$LINES" | while read -r name target _; do
    if [ -z "$name" ] || mounted "$name" "$target"; then continue; fi
    open_dir "$(plain "$target")"
    if ! why=$(mount "$(plain "$target")" 2>&1); then fail 1 "$why"; fi
    say "mounted=$name"
done || exit $?
say "done"
