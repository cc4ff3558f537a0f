"""A new aioslsk that moves or changes what we lean on fails here, loudly, before it fails in the field.

When this fails after raising aioslsk's version: read what changed, mend `actors/soulseek/aioslsk_patches.py` where it
must be, then write the new digest down (``python -m tests.actors.soulseek.test_aioslsk_patches`` prints them all).
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

from actors.soulseek import aioslsk_patches

ROOT = Path(__file__).parents[3]

READ = {
    "client:SoulSeekClient.__init__": "3d7b133a8d6533d6",
    "client:SoulSeekClient.login": "0abd84fd26ef5cf0",
    "events:build_message_map": "220d459aed4d7f1c",
    "network/connection:DataConnection._read_message": "bf67bcbf458b27cf",
    "network/connection:DataConnection._read": "fc39a09e03ca1203",
    "network/connection:DataConnection.decode_message_data": "1221fe941d36ed49",
    "network/connection:PeerConnection.deserialize_message": "46d5f49b118b1277",
    "network/connection:DataConnection.disconnect": "fb257ef09b95a3fe",
    "network/connection:DataConnection.send_message": "8eb0974b2ffc1bec",
    "network/connection:PeerConnection.receive_transfer_ticket": "dfe4081f94bd1cbd",
    "network/connection:ListeningConnection": "4d2e3cf232c9f3e9",
    "network/network:Network.__init__": "81e2f65968681a44",
    "network/network:Network.create_listening_connections": "57b1fdc8e62a783d",
    "network/network:Network.get_listening_ports": "d95bea313d93589d",
    "network/network:Network.on_peer_accepted": "0769dbd610e56632",
    "network/network:Network._on_connect_to_peer": "29323f3598998ebf",
    "network/network:Network._handle_connect_to_peer": "abc233fa0c6d6173",
    "network/network:Network._create_peer_connection_race": "0af71431d11410d5",
    "network/network:Network._remove_connection_future": "0b367d43c264e9b4",
    "network/network:Network._make_indirect_connection": "05f2790f3ae96252",
    "transfer/manager:TransferManager._on_peer_transfer_request": "514f93bc65f2fb60",
    "transfer/manager:TransferManager._on_peer_transfer_queue": "15e68e4dad275f2c",
    "transfer/manager:TransferManager.remove": "1ce835fc7f1e2a7f",
    "distributed:DistributedNetwork._on_potential_parents": "a14c89c21084a050",
    "transfer/manager:TransferManager._upload_file": "6b88bf5953368589",
    "transfer/manager:TransferManager._on_peer_transfer_queue_failed": "781cdfe79e26de21",
    "transfer/manager:TransferManager._on_peer_upload_failed": "474692933c44808d",
    "transfer/manager:TransferManager._on_peer_place_in_queue_reply": "ed37fdc0f337ef65",
    "transfer/manager:TransferManager._on_peer_initialized": "4d7457745ef34358",
    "transfer/manager:TransferManager.get_queue_size": "9c3855efc91e57d7",
    "search/manager:SearchManager._on_peer_search_reply": "e300c12811040cec",
    "shares/manager:SharesManager.scan_directory_files": "0dc88f6b2af42dcd",
    "shares/manager:SharesManager._cleanup_term_map": "24a742059ecfc3cd",
    "protocol/messages:PeerSearchReply.Request": "820ea6e64bfbbffe",
    "protocol/primitives:FileData": "40cb1222e6461011",
    "protocol/primitives:string.deserialize": "aef975bb91c0e1dd",
    "protocol/obfuscation:decode": "d939b6ea33322d95",
    "protocol/primitives:MessageDataclass.deserialize": "54a8a78737196961",
    "protocol/primitives:array.deserialize": "687777a4c783c2d5",
}
"""What is replaced, overridden or leaned upon: ``file:name``."""


def digest_of(name: str) -> str:
    """Of the meaning, not of the layout: comments and blank lines may change."""
    file, _, path = name.partition(":")
    spec = importlib.util.find_spec("aioslsk")
    assert spec is not None
    assert spec.origin is not None
    node: ast.AST = ast.parse(Path(spec.origin).parent.joinpath(f"{file}.py").read_text())
    for part in path.split("."):
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == part)
    return hashlib.sha256(ast.unparse(node).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", sorted(READ))
def test_what_we_lean_on_is_what_was_read(name: str) -> None:
    assert digest_of(name) == READ[name], f"aioslsk's {name} has changed: read it again"


def test_every_private_method_that_is_overridden_is_listed() -> None:
    listed = {name.rpartition(".")[2] for name in READ}
    for ours in vars(aioslsk_patches).values():
        if isinstance(ours, type) and ours.__module__ == aioslsk_patches.__name__:
            base = ours.__mro__[1]
            private = {name for name in vars(ours) if name.startswith("_") and not name.startswith(("__", "_abc"))}
            assert {name for name in private if hasattr(base, name)} <= listed


def test_the_attributes_that_are_reached_into_are_there() -> None:
    from aioslsk.network.connection import ListeningConnection, PeerConnection  # type: ignore[import-untyped,unused-ignore]
    from aioslsk.network.network import Network  # type: ignore[import-untyped,unused-ignore]

    network = aioslsk_patches.BoundedNetwork.__new__(aioslsk_patches.BoundedNetwork)
    assert isinstance(network, Network)
    connection = PeerConnection("127.0.0.1", 1, network)
    assert {"_reader", "_writer", "connection_state", "connection_type", "incoming", "username"} <= set(
        vars(connection)
    )
    assert "_server" in vars(ListeningConnection("127.0.0.1", 1, network))
    assert "self._create_peer_connection_tasks" in inspect.getsource(Network.__init__)
    assert "self._MESSAGE_MAP" in inspect.getsource(Network.__init__)


def test_our_handlers_are_found_where_aioslsk_looks_for_them() -> None:
    """It maps messages to methods by a mark on the method: without it an override would silently be none."""
    for ours in (aioslsk_patches.Uploads, aioslsk_patches.Searching, aioslsk_patches.BoundedNetwork):
        base = ours.__mro__[1]
        for name, method in vars(ours).items():
            if hasattr(getattr(base, name, None), "_registered_message"):
                assert method._registered_message is getattr(base, name)._registered_message, name


@pytest.mark.parametrize("path", sorted((ROOT / "actors").rglob("*.py")), ids=lambda path: path.name)
def test_private_names_of_aioslsk_are_touched_in_one_file_only(path: Path) -> None:
    if path.name == "aioslsk_patches.py" or "import aioslsk" not in path.read_text().replace(
        "from aioslsk", "import aioslsk"
    ):
        return
    assert path.parent.name == "soulseek", "aioslsk has one home"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert isinstance(node.value, ast.Name), f"{path.name}:{node.lineno}: {node.attr}"
            assert node.value.id == "self", f"{path.name}:{node.lineno}: {node.attr}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aioslsk"):
            assert not any(alias.name.startswith("_") for alias in node.names)


if __name__ == "__main__":
    for name in READ:
        sys.stdout.write(f'    "{name}": "{digest_of(name)}",\n')
