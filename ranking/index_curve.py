"""How an effort grows with the depth that is wanted: a straight line between points, both on logarithmic scales."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Curve:
    """`efforts` at ascending `depths`; the first below them, along the last piece (or `growth`) beyond them."""

    depths: tuple[int, ...]
    efforts: tuple[float, ...]
    growth: float = 0.0  # of the effort with the depth, when there is one point alone

    def at(self, depth: float) -> float:
        """The effort for this depth."""
        if depth <= self.depths[0]:
            return self.efforts[0]
        if depth < self.depths[-1]:
            return float(np.exp(np.interp(math.log(depth), np.log(self.depths), np.log(self.efforts))))
        growth = self.growth
        if len(self.depths) > 1:
            last = math.log(self.efforts[-1] / self.efforts[-2])
            growth = max(growth, last / math.log(self.depths[-1] / self.depths[-2]))
        return float(self.efforts[-1] * (depth / self.depths[-1]) ** growth)

    def scaled(self, factor: float, most: float) -> Self:
        """Every effort times `factor`, none above `most`."""
        efforts = tuple(min(effort * factor, most) for effort in self.efforts)
        return type(self)(self.depths, efforts, self.growth)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"depths": list(self.depths), "efforts": list(self.efforts), "growth": self.growth}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `to_json` made."""
        return cls(tuple(content["depths"]), tuple(content["efforts"]), float(content["growth"]))
