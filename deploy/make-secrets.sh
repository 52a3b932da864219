#!/bin/sh
# 生成本机的全部口令 / makes every secret of this installation.
#
#   ./make-secrets.sh                   首次安装，一次即可；绝不覆盖 / once, before the first start; never overwrites
#   ./make-secrets.sh enterprise CODE   为一家企业建消息代理账号 / an account of the broker for one enterprise
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
    save mosquitto_passwords "$(account nengshao "$mqtt")"
    chmod 0644 "$new/mosquitto_passwords" # accounts are added to it
    save postgres_password "$postgres"
    save state_url "postgresql+psycopg://nengshao:$postgres@postgres:5432/nengshao"
    save influx_admin_password "$(random)-Aa1" # strong-passwords of InfluxDB wants three kinds of characters
    save influx_admin_token "$(random)"
    save api_token "$(random)"
    save grafana_admin_password "$(random)"
    mv "$new" "$folder"
    echo "已生成 / made: $folder"
}

add_enterprise() {
    printf '%s' "$1" | grep -Eqx '[0-9A-Z]{18}' || { echo "不是 18 位代码 / not a code of 18 characters: $1" >&2; exit 1; }
    accounts=$folder/mosquitto_passwords
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
    enterprise) add_enterprise "${2-}" ;;
    *) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac
