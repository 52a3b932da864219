#!/bin/sh
# 向运行中的 InfluxDB 申请两个受限令牌：服务读写两个桶，Grafana 只读结果桶。绝不覆盖。
# Asks the running InfluxDB for two limited tokens: the service reads and writes both buckets, Grafana only reads results.
# Never overwrites. Run it after `docker compose up -d --wait influxdb`, before the other services start.
set -eu

folder=${SECRETS_DIR:-$(dirname "$0")/secrets}
url=${INFLUX_URL:-http://127.0.0.1:8086}
org=${INFLUX_ORG:-nengshao}
readings=${READINGS_BUCKET:-readings}
results=${RESULTS_BUCKET:-results}
umask 077

# The token goes in by standard input: a command line is everybody's to read.
ask() {
    path=$1
    shift
    printf 'header = "Authorization: Token %s"\n' "$(cat "$folder/influx_admin_token")" |
        curl --silent --show-error --fail --noproxy '*' --config - "$@" "$url$path"
}

id_of() { grep -o '"id": *"[0-9a-f]\{16\}"' | head -n 1 | cut -d '"' -f 4; }

token_of() { grep -o '"token": *"[^"]*"' | head -n 1 | cut -d '"' -f 4; }

bucket() {
    found=$(ask "/api/v2/buckets?org=$org&name=$1" 2>/dev/null | id_of) || found=
    [ -n "$found" ] || found=$(ask /api/v2/buckets --data "{\"orgID\":\"$org_id\",\"name\":\"$1\",\"retentionRules\":[]}" | id_of)
    printf '%s' "$found"
}

may() { printf '{"action":"%s","resource":{"type":"buckets","id":"%s","orgID":"%s"}}' "$1" "$2" "$org_id"; }

make_token() {
    file=$folder/$1
    [ ! -s "$file" ] || { echo "$file 已存在，保留 / exists already: kept"; return; }
    token=$(ask /api/v2/authorizations --data "{\"orgID\":\"$org_id\",\"description\":\"$1\",\"permissions\":[$2]}" | token_of)
    [ -n "$token" ] || { echo "InfluxDB 没有给出令牌 / gave no token" >&2; exit 1; }
    printf '%s\n' "$token" >"$file"
    chmod 0444 "$file"
    echo "已生成 / made: $file"
}

org_id=$(ask "/api/v2/orgs?org=$org" | id_of)
readings_id=$(bucket "$readings")
results_id=$(bucket "$results")
make_token influx_token "$(may read "$readings_id"),$(may write "$readings_id"),$(may read "$results_id"),$(may write "$results_id")"
make_token grafana_influx_token "$(may read "$results_id")"
