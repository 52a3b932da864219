"""What the doctor says of a broker's configuration: deploy's own is in order, each way to lose is named."""

from __future__ import annotations

import os
import re
from pathlib import Path
from string import Formatter

import pytest

from nengshao.broker.configuration import Embedded, read_configuration
from nengshao.broker.findings import Expectations, Finding, Level, finding, texts
from nengshao.broker.load import Load, copies, lasting_s, load_of, message_bytes
from nengshao.doctor import judged
from nengshao.domain.errors import ConfigError
from nengshao.wire import Item, encode_message
from tests.servers.mosquitto import PRODUCTION_SETTINGS
from tests.servers.server import DEPLOY
from tests.support import plants

HOUR_S, DAY_S = 3_600, 86_400
LOAD = Load(messages_per_s=1.0, bytes_per_s=1_000.0, largest_message=1_000)
WANTED = Expectations(
    outage_s=DAY_S, max_message_bytes=262_144, receive_maximum=2_000, session_expiry_s=7 * DAY_S, partitions=2
)
GOOD = """
listener 8883
certfile a
keyfile b
password_file c
acl_file d
persistence true
autosave_interval 30
max_queued_messages 0
max_inflight_messages 1000
log_dest file /var/log/mosquitto.log
log_type notice
log_type subscribe
log_type debug
"""


def judge(folder: Path, text: str, *, load: Load = LOAD, wanted: Expectations = WANTED) -> list[Finding]:
    path = folder / "mosquitto.conf"
    path.write_text(text, encoding="utf-8")
    return list(judged(read_configuration(path), load, wanted))


def worse(found: list[Finding]) -> dict[str, Level]:
    return {one.code: one.level for one in found if one.level is not Level.NOTE}


def test_our_own_configuration_is_in_order_with_and_without_the_tls_door(tmp_path: Path) -> None:
    assert worse(list(judged(read_configuration(PRODUCTION_SETTINGS), LOAD, WANTED))) == {}
    text = PRODUCTION_SETTINGS.read_text(encoding="utf-8")
    (tmp_path / "listeners").mkdir()
    sample = DEPLOY / "mosquitto" / "listeners" / "tls.conf.sample"
    (tmp_path / "listeners" / "tls.conf").write_text(sample.read_text(encoding="utf-8"), encoding="utf-8")
    found = judge(tmp_path, text)
    assert worse(found) == {}
    [accepted] = [one for one in found if one.code == "accepted"]
    assert accepted.what.startswith("no-tls")
    conf = read_configuration(tmp_path / "mosquitto.conf")
    assert not isinstance(conf, Embedded)
    assert [(door.port, door.is_encrypted) for door in conf.listeners] == [(1883, False), (8883, True)]


def test_good_configuration_has_notes_only(tmp_path: Path) -> None:
    assert worse(judge(tmp_path, GOOD)) == {}


@pytest.mark.parametrize(
    ("line", "replaced", "code", "level"),
    [
        ("max_queued_messages 100000", "max_queued_messages 0", "queue-limit", Level.LOSES),
        ("", "max_queued_messages 0", "queue-limit", Level.LOSES),  # Mosquitto's default is 1 000
        ("max_queued_bytes 1000000", "", "queue-limit", Level.LOSES),
        ("memory_limit 1000000", "", "memory-limit", Level.LOSES),
        ("persistence false", "persistence true", "persistence-off", Level.LOSES),
        ("", "persistence true", "persistence-off", Level.LOSES),
        ("", "autosave_interval 30", "autosave-rare", Level.LOSES),  # its default is half an hour
        ("autosave_interval 0", "autosave_interval 30", "autosave-rare", Level.LOSES),
        ("autosave_interval 1\nautosave_on_changes true", "autosave_interval 30", "autosave-every-change",
         Level.RISK),
        ("persistent_client_expiration 2h", "", "session-expiry", Level.LOSES),
        ("use_username_as_clientid true", "", "client-id-replaced", Level.LOSES),
        ("message_size_limit 100000", "", "message-size", Level.LOSES),
        ("max_packet_size 262144", "", "message-size", Level.LOSES),  # no room for the headers
        ("max_inflight_messages 20", "max_inflight_messages 1000", "inflight", Level.RISK),
        ("", "max_inflight_messages 1000", "inflight", Level.RISK),
        ("upgrade_outgoing_qos true", "", "qos-upgraded", Level.RISK),
        ("allow_anonymous true", "", "anonymous", Level.RISK),
        ("", "password_file c", "no-accounts", Level.RISK),
        ("", "acl_file d", "no-acl", Level.RISK),
        ("", "certfile a", "no-tls", Level.RISK),
        ("", "log_type debug", "denials-unseen", Level.RISK),
        ("", "log_type subscribe", "denials-unseen", Level.RISK),
    ],
)  # fmt: skip
def test_each_way_to_lose_or_to_be_seen_is_named_with_what_to_write_instead(
    tmp_path: Path, line: str, replaced: str, code: str, level: Level
) -> None:
    assert replaced in GOOD
    text = GOOD.replace(f"{replaced}\n", f"{line}\n", 1) if replaced else f"{GOOD}{line}\n"
    found = judge(tmp_path, text)
    assert worse(found) == {code: level}
    [one] = [one for one in found if one.code == code]
    assert one.why
    assert one.instead
    if "\n" not in line:
        assert line.partition(" ")[0] in f"{one.what} {one.instead}"


@pytest.mark.parametrize(
    "line",
    [
        "max_queued_messages 2000000",
        "max_queued_bytes 2000000000",
        "persistent_client_expiration 1d",
        "message_size_limit 262144",
        "max_packet_size 262400",
        "allow_anonymous false",
        "log_type all",
    ],
)
def test_limit_that_suffices_is_no_warning(tmp_path: Path, line: str) -> None:
    assert worse(judge(tmp_path, f"{GOOD}{line}\n")) == {}


def test_save_on_every_hundredth_change_is_told_with_what_it_cost(tmp_path: Path) -> None:
    text = GOOD.replace("autosave_interval 30", "autosave_interval 100\nautosave_on_changes true")
    found = judge(tmp_path, text)
    assert worse(found) == {}
    [one] = [one for one in found if one.code == "autosave-changes"]
    assert "498/500" in one.why


def test_session_of_mqtt_5_is_ours_to_keep_long_enough(tmp_path: Path) -> None:
    short = Expectations(DAY_S, 262_144, 2_000, session_expiry_s=HOUR_S)
    [one] = [one for one in judge(tmp_path, GOOD, wanted=short) if one.level is Level.LOSES]
    assert (one.code, one.instead) == ("session-expiry", "session_expiry_s = 172800")
    assert "mqtt.session_expiry_s" in one.what


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", {"anonymous", "no-acl"}),  # no listener at all: this machine only, and everybody on it
        ("port 1883\n", {"no-accounts", "no-acl", "no-tls"}),
        ("listener 1883 127.0.0.1\n", {"no-accounts", "no-acl"}),
        ("listener 0 /run/mosquitto.sock\n", {"no-accounts", "no-acl"}),
        ("per_listener_settings true\nlistener 1 ::1\nacl_file a\npassword_file b\nlistener 2 ::1\n",
         {"no-accounts", "no-acl"}),
        ("per_listener_settings false\nlistener 1 ::1\nacl_file a\npassword_file b\nlistener 2 ::1\n", set()),
        ("acl_file a\nlistener 1\ncertfile c\nrequire_certificate true\nuse_identity_as_username true\n",
         set()),
        ("acl_file a\nlistener 1\ncertfile c\nuse_identity_as_username true\n", {"no-accounts"}),
        ("listener 1 127.0.0.1\nplugin /usr/lib/dynamic-security.so\n", set()),
    ],
)  # fmt: skip
def test_doors_are_judged_each_by_what_holds_for_it(tmp_path: Path, text: str, codes: set[str]) -> None:
    found = worse(judge(tmp_path, text))
    assert {code for code in found if code in {"anonymous", "no-accounts", "no-acl", "no-tls"}} == codes


def test_included_folder_counts_where_it_stands_and_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.conf").write_text("max_queued_messages 5\n", encoding="utf-8")
    (tmp_path / "conf.d" / "a.conf").write_text("max_queued_messages 7\n", encoding="utf-8")
    (tmp_path / "conf.d" / "c.off").write_text("max_queued_messages 9\n", encoding="utf-8")
    [limit] = [
        one for one in judge(tmp_path, f"{GOOD}include_dir {tmp_path}/conf.d\n") if one.code == "queue-limit"
    ]
    assert limit.what.startswith("max_queued_messages 5：")
    assert worse(judge(tmp_path, f"include_dir {tmp_path}/conf.d\n{GOOD}")) == {}


@pytest.mark.parametrize(
    "text",
    [
        "max_queued_messages many\n",
        "persistent_client_expiration 14\n",
        "listener door\n",
        "include_dir /none/x\n",
    ],
)
def test_what_mosquitto_would_refuse_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        judge(tmp_path, GOOD + text)


def test_file_that_is_not_there_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does-not-exist"):
        read_configuration(tmp_path / "does-not-exist")


def test_place_of_the_snapshot_must_be_writable_for_the_broker(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o777 if os.geteuid() == 0 else 0o700)
    for place, code in (("there", "persistence"), ("missing", "persistence-location")):
        found = judge(tmp_path, f"{GOOD}user nobody\npersistence_location {tmp_path}/{place}/\n")
        assert code in {one.code for one in found}
    (tmp_path / "there").chmod(0o500)
    if os.geteuid() == 0:  # the folder is root's: the broker, who is nobody by then, cannot write there
        found = judge(tmp_path, f"{GOOD}user nobody\npersistence_location {tmp_path}/there/\n")
        assert worse(found) == {"persistence-location": Level.LOSES}


def test_embedded_broker_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rumqttd.toml"
    path.write_text(
        """
        [router]
        max_segment_size = 1000
        max_segment_count = 10
        [v4.1]
        listen = "0.0.0.0:1883"
        [v4.1.connections]
        max_payload_size = 20480
        """,
        encoding="utf-8",
    )
    found = list(judged(read_configuration(path), LOAD, WANTED))
    assert worse(found) == {
        "persistence-off": Level.LOSES,
        "queue-limit": Level.LOSES,
        "message-size": Level.LOSES,
        "anonymous": Level.RISK,
        "no-acl": Level.RISK,
        "no-tls": Level.RISK,
    }
    [limit] = [one for one in found if one.code == "queue-limit"]
    assert "10 s" in limit.what  # 10 000 bytes at 1 000 a second


# -------------------------------------------------------------------------------------------- the load


def test_queue_lasts_as_worked_by_hand_with_resends() -> None:
    assert lasting_s(1.0, 60) == pytest.approx(60, abs=0.05)  # nothing is sent again within the first minute
    assert lasting_s(1.0, 303) == pytest.approx(181, abs=0.05)  # 181 + 121 + 1
    day = DAY_S + sum(DAY_S - at for at in (60, 180, 420, 900, 1860, 3780))
    day += sum(DAY_S - at for at in range(3780 + 3600, DAY_S, 3600))
    assert copies(DAY_S) == day


def test_load_is_that_of_the_busiest_partition_and_of_who_is_in_duty() -> None:
    registry = plants.registry(3, 4)
    alone = load_of(registry, 1, plants.START)
    assert alone.messages_per_s == pytest.approx(3 / plants.CADENCE_S)
    assert alone.bytes_per_s == pytest.approx(3 * message_bytes(4) / plants.CADENCE_S)
    assert alone.largest_message == message_bytes(4)
    assert load_of(registry, 97, plants.START).messages_per_s == pytest.approx(1 / plants.CADENCE_S)
    assert load_of(registry, 1, plants.START - 1) == Load(0.0, 0.0, 0)


def test_bytes_of_a_message_are_those_that_are_sent() -> None:
    items: list[Item] = [plants.item(plants.START, 123_456.789, meter=f"{n:02d}") for n in range(50)]
    sent = len(encode_message(plants.credit_code(1), "gateway-0001", items, 1_000_000))
    assert message_bytes(50) == pytest.approx(sent, rel=0.1)


# ------------------------------------------------------------------------------------------- the texts


def test_every_text_is_used_and_every_code_has_a_text() -> None:
    sources = [
        *(DEPLOY.parent / "nengshao" / "broker").glob("*.py"),
        DEPLOY.parent / "nengshao" / "doctor.py",
    ]
    named: set[str] = set()
    for source in sources:
        text = source.read_text(encoding="utf-8")
        named |= {code for code in re.findall(r'"([a-z]+(?:-[a-z]+)*)"', text) if code in texts()}
    assert named == set(texts())


@pytest.mark.parametrize("code", texts())
def test_text_is_chinese_first_and_what_is_not_in_order_says_why_and_what_to_do(code: str) -> None:
    text = texts()[code]
    names = {name for _, name, _, _ in Formatter().parse("".join(text.values())) if name}
    made = finding(code, **dict.fromkeys(names, "x"))
    assert made.what
    if made.level is not Level.NOTE:
        assert made.why
        assert made.instead
    for words in (made.what, made.why):
        assert not words or " / " not in words or re.search(r"[\u4e00-\u9fff]", words.split(" / ")[0])
