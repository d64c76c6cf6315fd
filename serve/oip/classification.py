"""The classification extension: the largest values of an output as "value:index" instead of the tensor itself."""

import numpy as np
import numpy.typing as npt

from interest.batch import Tensors
from serve.oip.datatypes import Array
from serve.oip.errors import InvalidInput
from serve.oip.message import WantedOutput


def wanted_outputs(outputs: Tensors, wanted: tuple[WantedOutput, ...], batched: bool) -> Tensors:
    """The outputs that were asked for, in the model's own order; all of them when none was."""
    if not wanted:
        return outputs
    classes = {one.name: one.classes for one in wanted}
    return {
        name: top_classes(name, array, classes[name], batched) if classes[name] else array
        for name, array in outputs.items()
        if name in classes
    }


def top_classes(name: str, array: Array, classes: int, batched: bool) -> npt.NDArray[np.object_]:
    """BYTES [batch, k] (or [k]), k = min(classes, values of a row), largest first, equal ones by index."""
    if array.dtype.kind not in "iuf":
        raise InvalidInput(f"classification of output '{name}': its values are not numbers")
    rows = array.reshape(len(array), -1) if batched else array.reshape(1, -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :classes]
    labels = np.empty(order.shape, dtype=object)
    for row, places in enumerate(order):
        for column, place in enumerate(places):
            value = rows[row, place]
            labels[row, column] = (f"{value:f}" if array.dtype.kind == "f" else f"{value}") + f":{place}"
    return labels if batched else labels[0]
