"""The API with a login: what is searched for is found, listed, fetched from everybody, and remembered of them."""

from pathlib import Path

import pytest

from tests.e2e.daemon.daemons import eventually, running
from tests.e2e.program import Shoal
from tests.soulseek_network.network import Character, Content, network

pytestmark = pytest.mark.long

ROOT = "/api/v0/multisource"
SECRET = "s3cr3t"
FILE = Content(3_000_000, seed=5)
USERS = {"ann": Character(rate_bytes_s=1e6), "bob smith": Character(rate_bytes_s=1e6), "cid": Character()}


def test_what_users_have_is_found_and_fetched_over_the_api(shoal: Shoal) -> None:
    with network(USERS, FILE, passwords={"me": SECRET}) as box:
        account = {
            "USERNAME": "me", "PASSWORD": SECRET, "SERVER": box.server_host, "PORT": str(box.server_port),
            "BIND": "127.0.0.1",
        }  # fmt: skip
        env = {f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()}
        with running(shoal, **env) as daemon:
            eventually(lambda: daemon.get("/health/ready")["login"] == "online")
            found = daemon.get(f"{ROOT}/search?searchText={box.term}&searchTimeout=1000&size={FILE.size}")
            (target,) = found["targets"]
            assert (target["users"], target["size"], target["extension"]) == (3, FILE.size, "flac")
            wanted = {"filename": target["name"], "size": FILE.size, "searchTimeout": 1000}
            shown = daemon.client.post(f"{ROOT}/file-sources", json=wanted).json()
            assert {one["username"] for one in shown["sources"]} == set(USERS)

            files = daemon.get(f"{ROOT}/users/bob%20smith/files")
            assert FILE.size in [one["size"] for folder in files["folders"] for one in folder["files"]]
            assert daemon.client.get(f"{ROOT}/users/nobody/files").status_code == 404

            order = {"filename": box.term, "size": FILE.size, "searchTimeout": 1000}
            done = daemon.client.post(f"{ROOT}/swarm?wait=true&waitS=40", json=order, timeout=45)
            assert (done.status_code, done.json()["state"]) == (200, "sealed"), done.text
            assert FILE.matches(Path(done.json()["path"]))
            senders = {one["username"] for one in done.json()["sources"] if one["bytesStored"]}
            assert senders <= set(USERS)
            assert senders

            # By the commit. What a user sent as a sample that came at once is no rate to remember.
            eventually(lambda: any(one["username"] in senders for one in daemon.get(f"{ROOT}/users")))
            known = {one["username"]: one for one in daemon.get(f"{ROOT}/users")}
            assert any(known[name]["rateBytesS"] > 0 for name in senders & known.keys())
            # The ledger counts what the users log, which may be a moment later, or nothing for a file sent to its end.
            eventually(lambda: sum(day["count"] for day in daemon.get(f"{ROOT}/stops")) <= done.json()["stops"])
