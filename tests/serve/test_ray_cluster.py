"""What Ray's processes are told, without starting any."""

from pathlib import Path

from serve.config import Limits
from serve.ray_cluster import environment


def test_messages_between_deployments_may_be_larger_than_the_largest_body(tmp_path: Path) -> None:
    told = int(environment(tmp_path)["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"])
    assert told == 64 * 2**20 > Limits().max_body_bytes
