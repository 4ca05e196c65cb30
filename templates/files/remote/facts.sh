# Says what kind of host this is. Changes nothing.
fact() { printf '%s=%s\n' "$1" "$2"; }
text() { printf '%s_b64=%s\n' "$1" "$(printf %s "$2" | b64)"; }
os() { (. "$ROOT/etc/os-release" 2>/dev/null && eval "printf %s \"\${$1-}\"") || :; }
# Free bytes where DIR is, or will be.
free() {
    dir=$1
    while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
    df -Pk "$dir" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }'
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
fact free_opt "$(free "$HOME_DIR")"
fact free_var_lib "$(free "$ROOT/var/lib/docker")"

file_b64 owner_b64 "$HOME_DIR/owner"
file_b64 daemon_json_b64 "$(as_left /etc/docker/daemon.json)"
file_b64 daemon_wanted_b64 "$(as_left /opt/machine/daemon.wanted.json)"
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
fact docker_active "$(systemctl is-active docker.service 2>/dev/null || :)"
fact docker_group "$(if getent group docker >/dev/null 2>&1; then echo true; else echo false; fi)"
