"""From a stage's name to its model; each kind is imported only where it runs."""

from collections.abc import Callable

from serve.config import ServerConfig
from serve.model import Model


def make_model(stage: str, config: ServerConfig) -> Model:
    """The model of one of `serve.config.STAGES`, not loaded yet. torch and vLLM stay out of the other processes."""
    if stage == "store":
        from serve.stages.store import StoreStage

        return StoreStage(config)
    if stage == "encoder":
        from serve.stages.encoder import EncoderStage

        return EncoderStage(config)
    if stage == "generator":
        from serve.stages.generator import GeneratorStage

        return GeneratorStage(config)
    from serve.stages.candidates import InterestStage, RerankerStage, RetrieverStage

    makers: dict[str, Callable[[ServerConfig], Model]] = {
        "interest": InterestStage,
        "retriever": RetrieverStage,
        "reranker": RerankerStage,
    }
    return makers[stage](config)
