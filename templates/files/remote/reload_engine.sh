# Makes a running engine read daemon.json again. Listeners and certificates need a restart.
systemctl daemon-reload
if ! why=$(timeout 30 systemctl reload docker.service 2>&1 </dev/null); then fail 13 "docker.service does not reload: $why"; fi
say "done"
