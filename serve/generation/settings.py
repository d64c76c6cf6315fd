"""Settings of the language model engine."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineConfig(BaseModel):
    """Settings of the language model engine; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "demo"  # "demo", a folder, or the id of a model on the hub
    device: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: str = "auto"
    quantization: str | None = None  # of vLLM, done while loading ("fp8" on a GPU); None: what the model folder says
    max_model_len: int = Field(1024, ge=64)  # tokens of prompt and answer together
    max_num_seqs: int = Field(64, ge=1)
    max_num_batched_tokens: int | None = Field(None, ge=64)
    kv_cache_gib: int = Field(1, ge=1)  # on a CPU
    kv_block_size: int = Field(32, ge=16)  # tokens that the prefix cache shares at least; vLLM's own is 128 on a CPU
    gpu_memory_utilization: float = Field(0.9, gt=0.0, le=1.0)  # on a GPU
    threads: int = Field(1, ge=1)  # of the engine's arithmetic on a CPU
    enforce_eager: bool = True
    enable_prefix_caching: bool = True
    max_loras: int = Field(0, ge=0)  # adapters in one step of the engine; 0: none is served, and none costs anything
    max_lora_rank: Literal[8, 16, 32, 64, 128] = 16
