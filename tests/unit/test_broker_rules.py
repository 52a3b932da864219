"""Rules and accounts from a registry, worked by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nengshao import cli
from nengshao.broker.access import Access, access_of, accounts_text, admitted, enterprises_in, rules_text
from nengshao.domain.codes import partition_of
from nengshao.registry_tables import registry_of
from nengshao.stores.state import SqlStateStore, open_state
from tests.support import plants

ONE, TWO = plants.credit_code(1), plants.credit_code(2)
NOW = plants.START + 86_400
HERE = partition_of(ONE, 2)
FAR = next(code for n in range(2, 99) if partition_of(code := plants.credit_code(n), 2) != HERE)


def test_rules_of_a_registry_line_by_line() -> None:
    rules = rules_text(access_of(plants.registry(1), NOW), "nengshao", [ONE, TWO])
    assert [line for line in rules.splitlines() if line and not line.startswith("#")] == [
        "user nengshao",
        "topic read nhjc/v1/+/+/data",
        "topic read nhjc/v1/+/+/status",
        "topic write nhjc/v1/+/+/command",
        "topic write nhjc/v1/+/+/receipt",
        f"user {ONE}",
        f"topic write nhjc/v1/{ONE}/d1/data",
        f"topic write nhjc/v1/{ONE}/d1/status",
        f"topic read nhjc/v1/{ONE}/d1/command",
        f"topic read nhjc/v1/{ONE}/d1/receipt",
        f"user {ONE}/d1",
        f"topic write nhjc/v1/{ONE}/d1/data",
        f"topic write nhjc/v1/{ONE}/d1/status",
        f"topic read nhjc/v1/{ONE}/d1/command",
        f"topic read nhjc/v1/{ONE}/d1/receipt",
    ]


def test_rules_do_not_depend_on_the_order_of_the_registry() -> None:
    tables = plants.tables(3, 1)
    tables["devices"] += [plants.device_row(2, device="a"), plants.device_row(2, device="z")]
    backwards = {name: rows[::-1] for name, rows in tables.items()}
    texts = {rules_text(access_of(registry_of(made), NOW), "nengshao") for made in (tables, backwards)}
    assert len(texts) == 1


def test_who_is_over_is_out_and_who_is_yet_to_come_is_in() -> None:
    tables = plants.tables(2, 1)
    tables["enterprises"][1]["active_to"] = "2025-01-01 12:00:00"
    over, later = {"valid_to": "2025-01-01 12:00:00"}, {"valid_from": "2026-01-01"}
    tables["devices"] += [
        plants.device_row(1, device="over", **over),
        plants.device_row(1, device="later", **later),
    ]
    assert access_of(registry_of(tables), NOW).devices == {ONE: ("d1", "later")}


BOTH = Access({ONE: ("d1",), FAR: ("d1",)})


@pytest.mark.parametrize(
    ("subscribed", "present", "in_force"),
    [
        ({0: 5, 1: 5}, set(), {ONE, FAR}),
        ({}, set(), set()),
        ({HERE: 5, 1 - HERE: 4}, set(), {ONE}),
        ({HERE: 5, 1 - HERE: 4}, {FAR}, {ONE, FAR}),  # it was subscribed when it was let in
        ({HERE: 6}, {"another"}, {ONE}),
    ],
)
def test_enterprise_is_let_in_only_after_its_holder_has_subscribed(
    subscribed: Mapping[int, int], present: set[str], in_force: set[str]
) -> None:
    assert set(admitted(BOTH, subscribed, 5, 2, present).devices) == in_force


def test_one_partition_takes_everybody_s_by_wildcard() -> None:
    assert admitted(BOTH, {}, 5, 1, set()) == BOTH


def test_enterprises_are_found_again_in_the_rules() -> None:
    assert enterprises_in(rules_text(BOTH, "nengshao")) == {ONE, FAR}
    assert enterprises_in("") == frozenset()


def test_accounts_keep_their_lines_and_their_order() -> None:
    text = f"nengshao:$6$a$b\n{TWO}/d1:$7$c\n{ONE}/d1:x:y\n{ONE}:z\n"
    assert accounts_text(text, ["nengshao", f"{ONE}/d1"]) == f"nengshao:$6$a$b\n{ONE}/d1:x:y\n"


# ---------------------------------------------------------------------------------------- the command


@pytest.fixture
def state(tmp_path: Path) -> SqlStateStore:
    (tmp_path / "settings.toml").write_text(
        f'data_dir = "{tmp_path}"\npartitions = 2\n[mqtt]\nusername = "nengshao"\n', encoding="utf-8"
    )
    store = open_state(f"sqlite:///{tmp_path / 'state.db'}", 2)
    store.migrate()
    store.save_registry(plants.registry(2), at=1)
    return store


def broker_acl(folder: Path, *arguments: str) -> str:
    command = [
        "broker-acl",
        "--wait",
        "0",
        "--settings",
        str(folder / "settings.toml"),
        "--acl",
        str(folder / "acl"),
    ]
    done = CliRunner().invoke(cli.app, [*command, *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_command_lets_a_new_enterprise_in_as_soon_as_its_partition_has_subscribed(
    state: SqlStateStore, tmp_path: Path
) -> None:
    assert f"has not subscribed: {ONE}" in broker_acl(tmp_path)
    assert enterprises_in((tmp_path / "acl").read_text()) == frozenset()
    for partition in (0, 1):
        lease = state.acquire_lease("ingest", partition, "h", 60)
        assert lease is not None
        state.record_subscription(lease, state.registry_version())
    assert "has not subscribed" not in broker_acl(tmp_path)
    before = (tmp_path / "acl").read_bytes()
    assert enterprises_in(before.decode()) == {ONE, TWO}
    state.save_registry(plants.registry(3), at=2)  # nobody has subscribed by this one yet
    assert f"has not subscribed: {plants.credit_code(3)}" in broker_acl(tmp_path)
    assert (tmp_path / "acl").read_bytes() == before
    state.close()


def test_command_strikes_accounts_and_names_devices_without_one(state: SqlStateStore, tmp_path: Path) -> None:
    accounts = tmp_path / "passwords"
    accounts.write_text(f"nengshao:a\n{ONE}/gone:b\nsomebody:c\n{ONE}:d\n", encoding="utf-8")
    accounts.chmod(0o640)
    for partition in (0, 1):
        lease = state.acquire_lease("ingest", partition, "h", 60)
        assert lease is not None
        state.record_subscription(lease, state.registry_version())
    said = broker_acl(tmp_path, "--passwords", str(accounts))
    assert accounts.read_text(encoding="utf-8") == f"nengshao:a\n{ONE}:d\n"
    assert accounts.stat().st_mode & 0o777 == 0o640
    assert f"account struck: {ONE}/gone" in said
    assert "account struck: somebody" in said
    assert f"has no account: {TWO}/d1" in said
    assert f"has no account: {ONE}/d1" not in said  # its enterprise has one
    users = [line for line in (tmp_path / "acl").read_text().splitlines() if line.startswith("user ")]
    assert users == ["user nengshao", f"user {ONE}", f"user {ONE}/d1", f"user {TWO}/d1"]
    state.close()
