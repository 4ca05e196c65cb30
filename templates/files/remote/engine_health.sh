# Asks the engine how it is, over its socket. Changes nothing.
# Seconds: for each question, and as long as the engine is on its way up.
DEADLINE={{ deadline_seconds }} WAIT={{ wait_seconds }}

docker=$ENGINE/current/bin/docker
[ -x "$docker" ] || docker=$(command -v docker) || fail 13 "no docker client on this host"
at=$(socket) || fail 13 "no engine on this host"
export DOCKER_HOST="unix://$at" DOCKER_CONFIG="$HOME_DIR/no-docker-config"
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
ask() { timeout "$DEADLINE" "$docker" "$@" </dev/null; }

# systemd starts it, or is going to.
comes() { systemctl show -p Job -p ActiveState docker.service 2>/dev/null | grep -q -e '^Job=' -e '=activating$' -e '=reloading$'; }
until=$(($(date +%s) + WAIT))
# The braces are apart so that no template language takes them for its own.
while ! version=$(ask version --format '{''{.Server.Version}''}' 2>&1); do
    if [ "$(date +%s)" -ge "$until" ] || ! comes; then fail 13 "the engine does not answer on its socket: $version"; fi
    sleep 0.3
done
say "version=$version"
# All at once: each start of the client takes a second or two on an emulated host.
info=$(ask info --format '{''{.Containers}''} {''{.Driver}''} {''{.Swarm.LocalNodeState}''}')
containers=${info%% *} info=${info#* }
say "storage_driver=${info%% *}"
say "swarm=${info#* }"

# One line a container: ID STATUS PID RESTART-POLICY NAME.
ids=
if [ "$containers" != 0 ]; then ids=$(ask ps -aq --no-trunc); fi
if [ -n "$ids" ]; then
    # shellcheck disable=SC2086 # ids are words
    list=$(ask inspect --type container --format \
        '{''{.Id}''} {''{.State.Status}''} {''{.State.Pid}''} {''{or .HostConfig.RestartPolicy.Name "no"}''} {''{.Name}''}' $ids 2>/dev/null) || :
    say "containers_b64=$(printf '%s\n' "$list" | b64)"
else
    say containers_b64=
fi
