"""The trivial stages in LitServe, in batches; runs in LitServe's own environment.

python litserve_app.py PORT ITEMS_JSON
"""

import json
import sys
from typing import Any

import litserve
import trivial  # type: ignore[import-not-found]  # lies beside it where it runs


class Recommend(litserve.LitAPI):  # type: ignore[misc]  # of a package that is not installed here
    """All three stages in a row: LitServe has one model behind a route."""

    def setup(self, device: str) -> None:
        with open(sys.argv[2]) as told:
            self._item_ids = json.load(told)

    def decode_request(self, request: dict[str, Any]) -> str:
        return str(request["inputs"][0]["data"][0])

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, user_ids: list[str]) -> list[Any]:
        items, scores = trivial.answer(user_ids)
        return list(zip(items.tolist(), scores.tolist(), strict=True))

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        items, scores = output
        return {"outputs": [{"name": "item_id", "data": [self._item_ids[item] for item in items]}, {"data": scores}]}


if __name__ == "__main__":
    api = Recommend(max_batch_size=64, batch_timeout=0.001, api_path="/v2/models/recommend/infer")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
