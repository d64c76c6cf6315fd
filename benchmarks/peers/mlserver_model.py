"""The trivial stages in MLServer; runs in MLServer's own environment."""

import json
import os
from pathlib import Path

import trivial  # type: ignore[import-not-found]  # lies beside it where it runs
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

ITEM_IDS: list[str] = json.loads(Path(os.environ["ITEMS"]).read_text())


class Recommend(MLModel):  # type: ignore[misc]  # of a package that is not installed here
    """All three stages in a row: MLServer calls one model a request."""

    async def load(self) -> bool:
        self._item_ids = ITEM_IDS
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        items, scores = trivial.answer(StringCodec.decode_input(payload.inputs[0]))
        ids = [self._item_ids[item] for item in items[0].tolist()]
        outputs = [
            StringCodec.encode_output("item_id", ids, use_bytes=False),
            NumpyCodec.encode_output("score", scores),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
