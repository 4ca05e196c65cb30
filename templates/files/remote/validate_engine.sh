# Asks an engine whether it would start with the daemon.json given on stdin. Changes nothing.
# Empty: the host's own.
DIGEST={{ digest }}

if [ -n "$DIGEST" ]; then
    bin=$ENGINE/$DIGEST/bin
else
    bin=$(command -v dockerd) || fail 1 "no dockerd on this host"
    bin=${bin%/*}
fi
[ -x "$bin/dockerd" ] || fail 1 "no engine $DIGEST on this host"
open_dir "$HOME_DIR"
drop_strays "$HOME_DIR/.validate"
new=$HOME_DIR/.validate.$$
mkdir "$new"
scratch=$new
cat >"$new/daemon.json"
if ! "$bin/dockerd" --help 2>&1 </dev/null | grep -q -- --validate; then
    say cannot-tell # 20.10
    exit 0
fi
# Without the bundle in PATH it misses docker-proxy and says so.
if ! why=$(PATH=$bin:$PATH timeout 30 "$bin/dockerd" --validate --config-file "$new/daemon.json" 2>&1 </dev/null); then
    fail 14 "$why"
fi
say "done"
