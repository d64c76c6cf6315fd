"""A user's own model: versions in a folder, swapped while requests are answered, refused by name when broken."""

import asyncio
import json
import shutil
from pathlib import Path

import fsspec
import onnx
import pytest
from onnx import TensorProto, helper

from interest.errors import InvalidConfig
from serve.oip.errors import ModelFailed, UnknownModel
from serve.oip.hosted import ModelHost
from serve.oip.model_folders import read_user_models
from serve.oip.wanted import OwnKept, Wanted, wanted_of
from tests.serve.oip.folders import ONES, SCALER, write_config, write_scaler, write_version


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_scaler(tmp_path)


async def started(folder: Path, root: str = "") -> ModelHost:
    host = ModelHost(root or str(folder.parent), folder.name)
    await host.start()
    return host


async def load(host: ModelHost) -> None:
    await host.prepare()
    await host.commit()


async def ready(host: ModelHost) -> list[str]:
    return (await host.state()).ready


async def answer(host: ModelHost, version: str = "") -> float:
    return float((await host.infer(version, ONES)).tensors["y"][0, 0])


async def test_the_newest_version_is_served_and_the_old_one_unloaded_after_its_requests(folder: Path) -> None:
    host = await started(folder)
    assert await answer(host) == 2
    write_version(folder, "2", 3)
    assert await answer(host) == 2
    await load(host)
    assert (await answer(host), await ready(host)) == (3, ["2"])
    assert (folder / "1" / "unloaded").exists()
    with pytest.raises(UnknownModel, match="version 1"):
        await answer(host, "1")
    await host.close()


async def test_several_versions_at_once_by_policy_and_parameters_reach_the_model(folder: Path) -> None:
    write_version(folder, "10", 5)
    write_config(folder, version_policy={"all": {}}, parameters={"unit": {"string_value": "10"}})
    host = await started(folder)
    assert await ready(host) == ["1", "10"]
    assert [await answer(host, version) for version in ("", "1", "10")] == [50, 20, 50]
    await host.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no weights')", "no weights"),
        ("x = 1", "no class Model"),
        (SCALER.replace('"y"', '"z"'), "gave no output 'y'"),
        (SCALER.replace("np.float32(", "np.float64("), "its config says FP32"),
    ],
)
async def test_a_bad_version_is_refused_and_the_old_one_serves(folder: Path, code: str, message: str) -> None:
    host = await started(folder)
    write_version(folder, "2", 2, code)
    with pytest.raises(InvalidConfig, match=message):
        await load(host)
    assert (await answer(host), await ready(host)) == (2, ["1"])
    first, second = (await host.state()).versions
    assert (first.state, second.state) == ("READY", "UNAVAILABLE")
    assert message in second.reason
    shutil.rmtree(folder / "2")
    await load(host)
    assert [one.version for one in (await host.state()).versions] == ["1"], "what is gone has no reason any more"
    await host.close()


async def test_no_request_fails_while_versions_are_swapped(folder: Path) -> None:
    write_config(folder, version_policy={"latest": {"num_versions": 1}})
    host = await started(folder)
    stop = asyncio.Event()

    async def asking() -> set[float]:
        found = set()
        while not stop.is_set():
            found.add(await answer(host))
        return found

    callers = [asyncio.create_task(asking()) for _ in range(4)]
    for version in range(2, 12):
        write_version(folder, str(version), version + 1)
        await load(host)
    stop.set()
    seen = set().union(*await asyncio.gather(*callers))
    assert seen <= {float(factor) for factor in range(2, 13)}
    assert await ready(host) == ["11"]
    await host.close()


async def test_what_the_model_raises_is_its_own_failure_and_nothing_is_served_once_unloaded(folder: Path) -> None:
    host = await started(folder)
    with pytest.raises(ModelFailed, match="ValueError: negative"):
        await host.infer("", {"x": -ONES["x"]})
    await host.unload()
    with pytest.raises(UnknownModel):
        await answer(host)
    await host.close()


async def test_an_onnx_file_is_served_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "doubler"
    (folder / "1").mkdir(parents=True)
    shape = ["batch", 2]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, str(folder / "1" / "model.onnx"))
    write_config(folder, backend="onnxruntime")
    host = await started(folder)
    assert await answer(host) == 2
    await host.close()


def test_models_are_found_by_their_config_and_one_that_does_not_fit_is_named(folder: Path) -> None:
    (folder.parent / "encoder" / "1").mkdir(parents=True)  # of a release: no config file
    assert list(read_user_models(str(folder.parent))) == ["scaler"]
    for changes, message in (
        ({"backend": "tensorflow"}, "backend 'tensorflow'"),
        ({"output": []}, "one output"),
        ({"model_transaction_policy": {"decoupled": True}}, "only the generator"),
        ({"speed": 1}, "speed"),
        ({"name": "other"}, "not that of its folder"),
        ({"dynamic_batching": {"preferred_batch_size": [8]}}, "must be 1 to max_batch_size=4"),
        ({"input": [{"name": "x", "data_type": "FP32", "dims": [2]}]}, "not one of TYPE_STRING"),
    ):
        write_config(folder, **changes)
        with pytest.raises(InvalidConfig, match=message):
            read_user_models(str(folder.parent))


def test_tritons_own_config_format_is_read(folder: Path) -> None:
    (folder / "config.pbtxt").write_text(
        'backend: "python" max_batch_size: 4 input [{name: "x" data_type: TYPE_FP32 dims: [2]}]'
        'output [{name: "y" data_type: TYPE_FP32 dims: [2]}] dynamic_batching {max_queue_delay_microseconds: 100}'
        'version_policy {specific {versions: [1]}} parameters {key: "unit" value {string_value: "3"}}'
    )
    config = read_user_models(str(folder.parent))["scaler"]
    assert config.parameters["unit"].string_value == "3"
    assert config.version_policy.served(["1", "2"]) == ["1"]
    write_config(folder)
    (folder / "config.pbtxt").unlink()
    assert read_user_models(str(folder.parent))["scaler"].to_proto().model_warmup[0].inputs["x"].zero_data
    assert config.to_proto().dynamic_batching.max_queue_delay_microseconds == 100


async def test_a_version_whose_files_have_changed_is_loaded_again_and_others_are_kept(folder: Path) -> None:
    write_config(folder, version_policy={"all": {}})
    write_version(folder, "2", 3)
    host = await started(folder)
    kept = host._serving["1"]
    write_version(folder, "2", 7)
    await load(host)
    assert (await answer(host, "2"), host._serving["1"] is kept) == (7, True)
    await host.close()


async def test_what_was_prepared_is_served_by_commit_alone_and_forgotten_by_discard(folder: Path) -> None:
    host = await started(folder)
    write_version(folder, "2", 3)
    await host.prepare()
    assert (await answer(host), await ready(host)) == (2, ["1"])
    await host.discard()
    await host.commit()
    assert (await answer(host), await ready(host)) == (2, ["1"])
    assert (folder / "2" / "unloaded").exists()
    await host.close()


async def test_a_model_that_does_not_load_at_the_start_is_unavailable_until_it_is_mended(folder: Path) -> None:
    write_version(folder, "1", 2, "raise RuntimeError('no weights')")
    host = await started(folder)
    (state,) = (await host.state()).versions
    assert (state.state, "no weights" in state.reason) == ("UNAVAILABLE", True)
    with pytest.raises(UnknownModel):
        await answer(host)
    write_version(folder, "1", 2)
    await load(host)
    assert await answer(host) == 2
    await host.close()


async def test_versions_are_copied_from_elsewhere_and_the_copies_removed(folder: Path) -> None:
    elsewhere = fsspec.filesystem("memory")
    elsewhere.put(str(folder.parent), "/models", recursive=True)
    elsewhere.pipe("/models/scaler/1/factor.txt", b"5")
    host = await started(folder, "memory://models")
    copy = host._serving["1"].folder
    assert (await answer(host), (copy / "factor.txt").read_text()) == (2, "5")
    assert list(read_user_models("memory://models")) == ["scaler"]
    await host.close()
    assert not copy.exists()


async def test_a_model_finds_the_files_beside_it(folder: Path) -> None:
    (folder / "1" / "helper.py").write_text("FACTOR = 9")
    write_version(folder, "1", 2, "from .helper import FACTOR\n" + SCALER.replace("{factor}", "FACTOR"))
    host = await started(folder)
    assert await answer(host) == 9
    await host.close()


def test_a_name_of_the_servers_own_is_refused(folder: Path) -> None:
    write_scaler(folder.parent, name="reranker")
    with pytest.raises(InvalidConfig, match="choose another"):
        read_user_models(str(folder.parent))


async def test_a_replica_that_comes_later_has_the_config_that_holds_in_place_of_the_files(folder: Path) -> None:
    kept = OwnKept()
    host = ModelHost(str(folder.parent), "scaler", kept)
    await host.start()
    tens = json.dumps({"parameters": {"unit": {"string_value": "10"}}})
    await host.prepare(tens)
    assert kept.read() == "", "it does not hold yet"
    await host.commit()
    reborn = ModelHost(str(folder.parent), "scaler", kept)
    await reborn.start()
    assert await answer(host) == await answer(reborn) == 20
    await load(host)
    assert (await answer(host), wanted_of(kept)) == (2, Wanted())
    await host.close()
    await reborn.close()


async def test_a_commit_while_another_load_prepares_keeps_nothing_of_what_is_refused_then(folder: Path) -> None:
    waits = (
        "while parameters and not (folder.parent / 'go').exists():\n            time.sleep(0.01)\n        self.factor ="
    )
    write_version(folder, "1", 2, "import time\n" + SCALER.replace("self.factor =", waits))
    kept = OwnKept()
    host = ModelHost(str(folder.parent), "scaler", kept)
    await host.start()
    await host.prepare()
    bad = json.dumps({"parameters": {"unit": {"string_value": "ten"}}})
    preparing = asyncio.create_task(host.prepare(bad))
    while host._prepared is None or host._prepared.override != bad:
        await asyncio.sleep(0)
    committing = asyncio.create_task(host.commit())
    await asyncio.sleep(0)
    (folder / "go").touch()
    with pytest.raises(InvalidConfig, match="'ten'"):
        await preparing
    await committing
    reborn = ModelHost(str(folder.parent), "scaler", kept)
    await reborn.start()
    assert (wanted_of(kept), await answer(host), await answer(reborn)) == (Wanted(), 2, 2)
    await host.close()
    await reborn.close()


async def test_a_replica_that_comes_after_an_unload_serves_nothing_until_the_next_load(folder: Path) -> None:
    kept = OwnKept()
    host = ModelHost(str(folder.parent), "scaler", kept)
    await host.start()
    await host.unload()
    await host.close()
    reborn = ModelHost(str(folder.parent), "scaler", kept)
    await reborn.start()
    with pytest.raises(UnknownModel):
        await answer(reborn)
    assert [(one.state, one.reason) for one in (await reborn.state()).versions] == [("UNAVAILABLE", "unloaded")]
    await load(reborn)
    await reborn.close()
    last = ModelHost(str(folder.parent), "scaler", kept)
    await last.start()
    assert await answer(last) == 2, "the end of a replica is no unload"
    await last.close()


async def test_what_is_asked_while_a_replica_starts_holds_for_it(folder: Path) -> None:
    class Changing(OwnKept):
        reads = 0

        def read(self) -> str:
            self.reads += 1
            return Wanted(loaded=self.reads < 3).model_dump_json()  # of the config, of the start, of its end

    host = ModelHost(str(folder.parent), "scaler", Changing())
    await host.start()
    assert await ready(host) == []
    await host.close()


async def test_the_state_of_one_that_does_not_start_says_why(folder: Path) -> None:
    write_config(folder, version_policy={"specific": {"versions": [7]}})
    host = await started(folder)
    ((version, reason),) = [(one.version, one.reason) for one in (await host.state()).versions]
    assert (version, reason) == ("1", "failed to load 'scaler': its version_policy leaves none of ['1']")
    await host.close()
