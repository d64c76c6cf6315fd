"""Asks a running server with KServe's own clients, and tells what they understood as JSON.

Run by the Python of an environment of its own, where nothing of Attune is:

    .attune/peers/kserve/bin/python tests/peers/kserve_client.py http://127.0.0.1:8000 127.0.0.1:8001 USER
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig

TEXTS = ("red lamp", "红色挂灯")


def asked(model: str, name: str, values: Sequence[str], binary: bool) -> InferRequest:
    """One tensor [rows, 1] of texts."""
    tensor = InferInput(name, [len(values), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value] for value in values], dtype=object), binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="of-kserve")


def told(response: InferResponse, *names: str) -> dict[str, Any]:
    """Outputs by name as lists, texts as texts."""
    outputs = {one.name: one for one in response.outputs}
    found: dict[str, Any] = {"id": response.id, "model": response.model_name}
    for name in names:
        array = outputs[name].as_numpy()
        rows = array.tolist()
        if outputs[name].datatype == "BYTES":
            rows = [[one.decode() if isinstance(one, bytes) else one for one in row] for row in rows]
        found[name] = rows
    return found


async def over_http(url: str, user: str) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=1)) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, "recommend"),
            "unknown_ready": await client.is_model_ready(url, "nope"),
        }
        for kind, binary in (("json", False), ("binary", True)):
            encoded = await client.infer(url, asked("encoder", "text", TEXTS, binary), model_name="encoder")
            found[kind] = told(encoded, "embedding", "tokens")
        lists = await client.infer(url, asked("recommend", "user_id", [user], False), model_name="recommend")
        found["recommend"] = told(lists, "item_id", "item_length", "tier")
        try:
            await client.infer(url, asked("nope", "text", TEXTS, False), model_name="nope")
        except httpx.HTTPStatusError as error:
            found["unknown"] = [error.response.status_code, str(error)]
        return found


async def over_grpc(address: str, user: str) -> dict[str, Any]:
    async with InferenceGRPCClient(address) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready("recommend"),
        }
        found["binary"] = told(await client.infer(asked("encoder", "text", TEXTS, True)), "embedding", "tokens")
        lists = await client.infer(asked("recommend", "user_id", [user], True))
        found["recommend"] = told(lists, "item_id", "item_length", "tier")
        try:
            await client.infer(asked("nope", "text", TEXTS, True))
        except grpc.RpcError as error:
            found["unknown"] = [error.code().name, error.details()]
        return found


async def main(url: str, address: str, user: str) -> None:
    print(json.dumps({"http": await over_http(url, user), "grpc": await over_grpc(address, user)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
