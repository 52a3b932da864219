#!/bin/sh
# 生成本机的全部口令 / makes every secret of this installation.
#
#   ./make-secrets.sh                   首次安装，一次即可；绝不覆盖 / once, before the first start; never overwrites
#   ./make-secrets.sh device CODE ID    为一台端设备建消息代理账号 / an account of the broker for one device
#   ./make-secrets.sh enterprise CODE   为代全企业上报的采集器建账号 / for a collector that speaks for all of an enterprise
#
# 目录仅属主可入（0700）；其中文件可读（0444），因为各容器以不同用户读取挂载的文件。
# The folder is closed to others (0700). The files in it are readable (0444), because each container reads what is
# mounted into it as a user of its own.
set -eu

folder=${SECRETS_DIR:-$(dirname "$0")/secrets}
command -v openssl >/dev/null || { echo "需要 openssl / openssl is needed" >&2; exit 1; }

# 256 bits, in letters that need no quoting in a URL, a shell or TOML.
random() { openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'; }

save() { printf '%s\n' "$2" >"$new/$1" && chmod 0444 "$new/$1"; }

# A line of Mosquitto's password file: $6$, SHA-512 of password and salt. One round is enough for 256 random bits, and
# unlike mosquitto_passwd this puts no password on a command line.
account() {
    salt=$(openssl rand -base64 12)
    hash=$({ printf '%s' "$2"; printf '%s' "$salt" | openssl base64 -d -A; } | openssl dgst -sha512 -binary | openssl base64 -A)
    printf '%s:$6$%s$%s\n' "$1" "$salt" "$hash"
}

make_all() {
    [ ! -e "$folder" ] || { echo "$folder 已存在，不覆盖 / exists already: nothing was changed" >&2; exit 1; }
    new=$folder.new
    rm -rf "$new"
    mkdir -m 0700 "$new"
    mqtt=$(random) postgres=$(random)
    save mqtt_password "$mqtt"
    # A folder, because what is in it is replaced whole; 0755, because the broker has a user of its own.
    mkdir -m 0755 "$new/mosquitto"
    account nengshao "$mqtt" >"$new/mosquitto/passwords"
    cp "$(dirname "$0")/mosquitto/acl" "$new/mosquitto/acl"
    chmod 0644 "$new/mosquitto/passwords" "$new/mosquitto/acl"
    save postgres_password "$postgres"
    save state_url "postgresql+psycopg://nengshao:$postgres@postgres:5432/nengshao"
    save influx_admin_password "$(random)-Aa1" # strong-passwords of InfluxDB wants three kinds of characters
    save influx_admin_token "$(random)"
    save api_token "$(random)"
    save grafana_admin_password "$(random)"
    mv "$new" "$folder"
    echo "已生成 / made: $folder"
}

check_code() {
    printf '%s' "$1" | grep -Eqx '[0-9A-Z]{18}' || { echo "不是 18 位代码 / not a code of 18 characters: $1" >&2; exit 1; }
}

check_device() {
    printf '%s' "$1" | grep -Eqx '[A-Za-z0-9_-]{1,64}' || { echo "不是端设备编码 / not a deviceId: $1" >&2; exit 1; }
}

add_account() {
    accounts=$folder/mosquitto/passwords
    [ -f "$accounts" ] || { echo "先运行 ./make-secrets.sh / run ./make-secrets.sh first" >&2; exit 1; }
    ! grep -q "^$1:" "$accounts" || { echo "账号已存在 / there is an account already: $1" >&2; exit 1; }
    password=$(random)
    # Appended, so that the file stays the one that is mounted.
    account "$1" "$password" >>"$accounts"
    echo "用户名 / user name: $1"
    echo "口令，只显示这一次 / password, shown this once: $password"
    echo "使之生效 / to take effect: docker compose kill -s HUP mosquitto"
}

umask 077
case ${1-} in
    "") make_all ;;
    device) check_code "${2-}"; check_device "${3-}"; add_account "$2/$3" ;;
    enterprise) check_code "${2-}"; add_account "$2" ;;
    *) sed -n '2,7p' "$0" >&2; exit 2 ;;
esac
