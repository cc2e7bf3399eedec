#!/usr/bin/env bash
# The whole path on a simulated company: history, model, backtest, gate, scores of deals and leads, a running service that
# answers.
# SERVE=0 stops before serving; PORT=3001 serves elsewhere. Everything is written under .forecastle/demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
export BENTOML_DO_NOT_TRACK=True MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true

config=configs/demo.yaml
demo=.forecastle/demo
company=$demo/company
port=${PORT:-3000}
url=http://127.0.0.1:$port
request=$demo/request.json
key_file=$demo/api-key
leads=$demo/leads.yaml
settings=(--set "source.path=$company/export" --set "state_dir=$demo/state")
server=

say() { printf '\n== %s\n' "$*" >&2; }
die() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# A run of the command line, with its name before and its seconds after.
step() {
  local begun=$SECONDS
  say "forecastle $*"
  forecastle "$@"
  printf '   (%d s)\n' $((SECONDS - begun)) >&2
}

# The config of the leads: they have a model and a state of their own, and the service is told of them by its path.
write_leads_config() {
  cat >"$leads" <<EOF
name: leads
time_zone: America/New_York
target: converted
period: {kind: quarter}
source: {kind: simulated, path: $company/export}
state_dir: $demo/leads
leads: {weekly_capacity: 100}
model: {seeds: 2} # five by default; two are enough to look at
backtest: {test_periods: 2}
EOF
}

# The day after the last fact of the export: what a company would call today.
today() {
  python - "$company/export" <<'EOF'
import sys
from pathlib import Path

import pandas as pd

path = next(Path(sys.argv[1]).glob("deal_history.*"))
history = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, usecols=["known_at"])
print((pd.to_datetime(history["known_at"], utc=True, format="ISO8601").max() + pd.Timedelta(days=1)).date())
EOF
}

port_is_taken() {
  python -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1]))) != 0)' "$port"
}

ready() {
  python - "$url/readyz" 2>/dev/null <<'EOF'
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5)
EOF
}

stop_server() {
  [ -n "$server" ] || return 0
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}

start_server() {
  forecastle serve "$config" "${settings[@]}" --set "serving.port=$port" --set "serving.leads=$leads" &
  server=$!
  trap stop_server EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local deadline=$((SECONDS + 120))
  until ready; do
    kill -0 "$server" 2>/dev/null || die "the service stopped before it was ready; its messages are above"
    [ $SECONDS -lt $deadline ] || die "the service was not ready within 120 s"
    sleep 0.5
  done
}

# The same request as the printed curl line, so that the demo needs no curl.
ask() {
  python - "$url/v1/deals/score" "$request" "$key_file" <<'EOF'
import json, sys, urllib.error, urllib.request
from pathlib import Path

url, body, key = sys.argv[1], Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]).read_text().strip()
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    answer = opener.open(urllib.request.Request(url, data=body, headers=headers), timeout=30).read()
except urllib.error.HTTPError as error:
    sys.exit(f"demo: the service answered {error.code}: {error.read().decode()}")
print(json.dumps(json.loads(answer), indent=2, ensure_ascii=False))
EOF
}

begun=$SECONDS
if [ "${SERVE:-1}" != 0 ] && port_is_taken; then
  die "port $port is taken; stop what listens there, or say PORT=3001 make demo"
fi
rm -rf "$demo"
mkdir -p "$demo"

step simulate --out "$company" --periods 10 --wins-per-period 60
as_of=$(today)
step train "$config" "${settings[@]}"
step backtest "$config" "${settings[@]}" --out "$demo/backtest"
step promote "$config" "${settings[@]}"
step score "$config" "${settings[@]}" --as-of "$as_of" --out "$demo/scores.csv"
step forecast "$config" "${settings[@]}" --as-of "$as_of" --out "$demo/forecast.csv"
step example-request "$config" "${settings[@]}" --as-of "$as_of" --out "$request"
write_leads_config
step train "$leads"
step promote "$leads"
step score-leads "$leads" --as-of "$as_of" --out "$demo/lead-scores.csv"
(umask 077 && forecastle keys create "$config" "${settings[@]}" --name demo >"$key_file")
say "done in $((SECONDS - begun)) s: scores in $demo/scores.csv and $demo/lead-scores.csv, forecast in $demo/forecast.csv, backtest in $demo/backtest"
[ "${SERVE:-1}" != 0 ] || exit 0

say "forecastle serve $config"
start_server
say "the service answers on $url; ask it yourself:"
cat <<EOF
curl -sS -H "Authorization: Bearer \$(cat $key_file)" -H "Content-Type: application/json" --data @$request $url/v1/deals/score
EOF
say "its answer:"
ask
say "serving until Ctrl-C"
wait "$server"
