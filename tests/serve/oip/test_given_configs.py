"""A config given with a load: what it may say, and how long it holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from serve.oip.entries import UserEntry
from serve.oip.errors import InvalidInput
from serve.oip.hosted import ModelHost
from tests.serve.oip.folders import CONFIG, write_scaler, write_version
from tests.serve.oip.ingresses import Pair, answer, new_ingress, states
from tests.serve.oip.local_deployments import LocalDeployments


@pytest.mark.parametrize("late", [True, False])
async def test_a_config_given_with_a_load_holds_until_the_next_load(
    tmp_path: Path, deployments: LocalDeployments, late: bool
) -> None:
    folder = write_scaler(tmp_path)
    host = ModelHost(str(tmp_path), "scaler")
    await host.start()
    server = new_ingress(deployments, {} if late else {"scaler": UserEntry(host._config, host, 1)})
    await server.start()
    write_version(folder, "2", 3)
    tens = {"parameters": {"unit": {"string_value": "10"}}, "version_policy": {"all": {}}}
    await server.load("scaler", {"config": json.dumps(tens)})
    assert [await answer(server, version) for version in ("", "1", "2")] == [30, 20, 30]
    assert (await server.require("scaler")).max_batch_size == 4, "what it leaves out comes from the file"
    assert (await server.require("scaler")).dynamic_batching is None, "or is not there"
    again = (await server.require("scaler")).to_json() | {"max_batch_size": 1}
    await server.load("scaler", {"config": json.dumps(again)})
    assert ((await server.require("scaler")).max_batch_size, await answer(server)) == (1, 30)
    await server.load("scaler")
    assert ((await server.require("scaler")).max_batch_size, await answer(server)) == (4, 3)
    await server.close()
    await host.close()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"config": "{"}, "parameter 'config': Expecting"),
        ({"config": "[]"}, "a JSON object is expected, not list"),
        ({"config": '{"speed": 1}'}, "parameter 'config': speed"),
        ({"config": '{"name": "other"}'}, "not that of its folder"),
        ({"config": '{"backend": "tensorflow"}'}, "backend 'tensorflow'"),
        ({"config": ""}, "a config as JSON in a string"),
        ({"config": {"max_batch_size": 1}}, "a config as JSON in a string"),
        ({"config": "{}", "file:1/model.onnx": b"x"}, "'file:1/model.onnx': files come from the model repository"),
        ({"speed": "1"}, "'speed' is not supported, only 'config' is"),
        (["config"], "not an object"),
    ],
)
async def test_what_load_cannot_take_is_refused_and_what_was_served_goes_on(
    both: Pair, tmp_path: Path, parameters: Any, message: str
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    with pytest.raises(InvalidInput, match=message):
        await both[0].load("scaler", parameters)
    assert await answer(both[1]) == 2


@pytest.mark.parametrize("file", ["/etc/model.py", "../../model.py", "..", "a/model.py", "..\\model.py"])
async def test_a_config_that_is_given_names_no_file_outside_the_version(both: Pair, tmp_path: Path, file: str) -> None:
    write_scaler(tmp_path)
    with pytest.raises(InvalidInput, match="default_model_filename"):
        await both[0].load("scaler", {"config": json.dumps({**CONFIG, "default_model_filename": file})})


async def test_a_model_without_a_config_file_is_loaded_with_one_that_is_given(both: Pair, tmp_path: Path) -> None:
    write_scaler(tmp_path)
    (tmp_path / "scaler" / "config.yaml").unlink()
    assert await states(both[0]) == []
    with pytest.raises(InvalidInput, match="no config file"):
        await both[0].load("scaler")
    await both[0].load("scaler", {"config": json.dumps(CONFIG)})
    assert await answer(both[1]) == 2
