# Says what kind of host this is. Changes nothing.
fact() { printf '%s=%s\n' "$1" "$2"; }
text() { printf '%s_b64=%s\n' "$1" "$(printf %s "$2" | b64)"; }
os() { (. "$ROOT/etc/os-release" 2>/dev/null && eval "printf %s \"\${$1-}\"") || :; }
# Free bytes where DIR is, or will be.
free() {
    df -Pk "$(nearest "$1")" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }'
}
# The nearest folder that is there.
nearest() {
    dir=$1
    while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
    printf %s "$dir"
}
# Options of the file system on which DIR is, or will be.
mount_of() {
    at=$(stat -c %m "$(nearest "$1")")
    awk -v at="$at" '$2 == at { found = $4 } END { print found }' /proc/mounts
}
file_b64() { if [ -f "$2" ]; then fact "$1" "$(b64 <"$2")"; fi; }

await_quiet
fact uid "$(id -u)"
fact clock "$(date +%s)"
fact arch "$(uname -m)"
fact kernel "$(uname -r)"
text os_id "$(os ID)"
text os_name "$(os PRETTY_NAME)"
text os_version "$(os VERSION_ID)"
text machine_id "$(cat "$ROOT/etc/machine-id" 2>/dev/null || :)"
text hostname "$(uname -n)"

glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p') || :
[ -n "$glibc" ] || glibc=$(ldd --version 2>&1 | sed -n '1s/.* \([0-9][0-9.]*\)$/\1/p') || :
fact glibc "$glibc"

if [ -d /run/systemd/system ]; then fact systemd_running true; else fact systemd_running false; fi
fact systemd "$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')"

if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    fact cgroup 2
    text cgroup_controllers "$(cat /sys/fs/cgroup/cgroup.controllers)"
elif [ -r /proc/cgroups ]; then
    fact cgroup 1
    text cgroup_controllers "$(awk 'NR > 1 && $4 == 1 { printf "%s%s", sep, $1; sep = " " }' /proc/cgroups)"
else
    fact cgroup 0
fi
missing=
for ns in ipc mnt net pid uts; do [ -e "/proc/self/ns/$ns" ] || missing="$missing $ns"; done
fact namespaces_missing "${missing# }"
if grep -qw overlay /proc/filesystems || modprobe -n overlay 2>/dev/null; then fact overlay true; else fact overlay false; fi
fact memory "$(awk '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)"
fact cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)"

fact iptables "$(command -v iptables || :)"
absent=
for tool in tar gzip sha256sum base64 systemctl timeout groupadd; do
    command -v "$tool" >/dev/null || absent="$absent $tool"
done
fact tools_missing "${absent# }"
fact layout "$(layout)"
fact free_opt "$(free "$HOME_DIR")"
# Some file systems have no number of files that they could run out of.
fact inodes_opt "$(df -Pi "$(nearest "$HOME_DIR")" | awk 'NR == 2 && $2 + 0 > 0 { print $4 }')"
fact options_opt "$(mount_of "$HOME_DIR")"
read_only=
for dir in "${HOME_DIR#"$ROOT"}" /var/lib "$UNITS" "${DAEMON_JSON%/*}" "$PROGRAMS"; do
    case ,$(mount_of "$ROOT$dir"), in *,ro,*) read_only="$read_only $dir" ;; esac
done
fact read_only "${read_only# }"
fact free_var_lib "$(free "$ROOT/var/lib/docker")"

file_b64 owner_b64 "$HOME_DIR/owner"
file_b64 daemon_json_b64 "$(as_left "$DAEMON_JSON")"
file_b64 daemon_wanted_b64 "$(as_left "$DAEMON_WANTED")"
file_b64 daemon_before_b64 "$BEFORE/daemon.json"
if [ -f "$ROOT$ENVIRONMENT" ]; then fact environment_sum "$(sum_of "$ROOT$ENVIRONMENT")"; fi
fact engine "$(readlink "$ENGINE/current" 2>/dev/null || :)"
fact engine_previous "$(readlink "$ENGINE/previous" 2>/dev/null || :)"
present=
for dir in "$ENGINE"/*/; do
    dir=${dir%/}
    if [ -d "$dir" ] && [ ! -L "$dir" ]; then present="$present ${dir##*/}"; fi
done
fact engines "${present# }"

# An engine that somebody else installed: its program, its unit.
foreign=
for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin /snap/bin; do
    file=$ROOT$dir/dockerd
    [ -e "$file" ] || continue
    case $(readlink -f "$file") in "$ENGINE"/*) ;; *) foreign=$file; break ;; esac
done
text foreign_dockerd "$foreign"
unit=
for dir in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
    for name in docker.service snap.docker.dockerd.service; do
        file=$ROOT$dir/$name
        if [ -z "$unit" ] && [ -f "$file" ] && ! ours "$file"; then unit=$file; fi
    done
done
text foreign_unit "$unit"
# What a packaged docker.service is made of, ours aside, in the order in which systemd reads it: `PATH BASE64` a line.
shown() { systemctl show -p "$1" --value docker.service 2>/dev/null || :; }
contents() {
    for path in "$@"; do
        if [ -f "$path" ] && ! ours "$path"; then printf '%s %s\n' "$path" "$(b64 <"$path")"; fi
    done
}
fragment=$(shown FragmentPath)
if [ -n "$fragment" ] && ! ours "$fragment"; then
    # shellcheck disable=SC2046 # a list of paths
    text unit "$(contents "$fragment" $(shown DropInPaths))"
    # shellcheck disable=SC2046
    text unit_environment "$(contents $(shown EnvironmentFiles | sed 's/ (ignore_errors=.*//'))"
fi
# Who else has the usual socket's name: a link, or a rule that makes it one at each boot (Podman's).
sock_of=
for file in "$ROOT"/etc/tmpfiles.d/*.conf "$ROOT"/run/tmpfiles.d/*.conf "$ROOT"/usr/lib/tmpfiles.d/*.conf; do
    if [ -z "$sock_of" ] && grep -qs '^[^#]*/docker\.sock' "$file"; then sock_of=${file#"$ROOT"}; fi
done
if [ -z "$sock_of" ] && [ -L "$ROOT$SOCKET" ]; then sock_of="a link to $(readlink "$ROOT$SOCKET")"; fi
text socket_of "$sock_of"
# Units that their owner has switched off for good.
masked=
for name in docker.service docker.socket; do
    if [ "$(readlink "$ROOT$UNITS/$name" 2>/dev/null || :)" = /dev/null ]; then masked="$masked $name"; fi
done
fact masked "${masked# }"
# Who else lives in a packaged containerd.
neighbours=
for dir in "$ROOT"/run/containerd/io.containerd.runtime.v2.task/*/; do
    name=$(basename "$dir")
    case $name in '*' | moby | plugins.moby) ;; *) neighbours="$neighbours $name" ;; esac
done
if [ -z "$neighbours" ] && [ -S "$ROOT/run/containerd/containerd.sock" ] && command -v ctr >/dev/null; then
    for name in $(timeout -s KILL 5 ctr namespaces ls -q 2>/dev/null </dev/null || :); do
        case $name in moby | plugins.moby | default) ;; *) neighbours="$neighbours $name" ;; esac
    done
fi
fact neighbours "${neighbours# }"
fact docker_active "$(systemctl is-active docker.service 2>/dev/null || :)"
fact docker_group "$(if getent group docker >/dev/null 2>&1; then echo true; else echo false; fi)"
