"""How vLLM is started: environment, arguments, device, and the logger that keeps its counters."""

import os
from typing import Any

from interest.errors import InvalidConfig
from serve.generation.completion import EngineStats
from serve.generation.settings import EngineConfig


def start_engine(config: EngineConfig, model: str, local: bool) -> tuple[Any, Any]:
    """(vLLM's engine, the class that holds its counters as `latest`). `local`: the model is a folder on this machine.

    Blocks for seconds. Raises `InvalidConfig` when the installed vLLM does not serve the wanted device.
    """
    os.environ.update(environment(config, local))
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.envs import disable_envs_cache, enable_envs_cache
    from vllm.v1.engine.async_llm import AsyncLLM

    disable_envs_cache()  # of an engine before this one

    _check_device(config.device)
    recorder = _recorder()
    arguments = AsyncEngineArgs(**_arguments(config, model))
    engine = AsyncLLM.from_engine_args(arguments, stat_loggers=[recorder])
    enable_envs_cache()  # it asks for them at each token, as its core does that calls this itself
    return engine, recorder


def _arguments(config: EngineConfig, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "dtype": config.dtype,
        "quantization": config.quantization,
        "max_model_len": config.max_model_len,
        "max_num_seqs": config.max_num_seqs,
        "max_num_batched_tokens": config.max_num_batched_tokens,
        "block_size": config.kv_block_size,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "enforce_eager": config.enforce_eager,
        "enable_prefix_caching": config.enable_prefix_caching,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},  # a model loops on spaces
        "disable_log_stats": True,  # vLLM's own loggers; ours is passed beside
        **_executor_arguments(),
        **_adapter_arguments(config),
    }


def _executor_arguments() -> dict[str, Any]:
    """On a CPU the model runs in the process of the engine's core, which saves the way to a worker and back each step.

    vLLM makes a worker there because it cannot know what OpenMP was told before; `environment` has told it. It does so
    for the name "uni", not for the class.
    """
    from vllm.platforms import current_platform
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    return {"distributed_executor_backend": UniProcExecutor} if current_platform.is_cpu() else {}


def _adapter_arguments(config: EngineConfig) -> dict[str, Any]:
    if not config.max_loras:
        return {}
    return {
        "enable_lora": True,
        "max_loras": config.max_loras,
        "max_cpu_loras": 2 * config.max_loras,  # the old version of each stays until the engine needs its place
        "max_lora_rank": config.max_lora_rank,
    }


def environment(config: EngineConfig, local: bool) -> dict[str, str]:
    """What vLLM and its processes are told; they read nothing else of ours from their environment."""
    told = {
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # binding would pin the core that the other stages use
        "OMP_NUM_THREADS": str(config.threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**told, "HF_HUB_OFFLINE": "1"} if local else told


def _check_device(device: str) -> None:
    from vllm.platforms import current_platform

    found = "cpu" if current_platform.is_cpu() else "gpu"
    if device not in ("auto", found):
        raise InvalidConfig(f"device={device}: the installed vLLM runs on {found}", "device")


def _recorder() -> Any:
    """A logger class for vLLM that keeps the counters of its latest step as a class attribute."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Recorder(StatLoggerBase):  # type: ignore[misc]  # vllm is not followed
        latest = EngineStats(0, 0, 0, 0)

        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            pass

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                before, cache = Recorder.latest, scheduler_stats.prefix_cache_stats
                Recorder.latest = EngineStats(
                    scheduler_stats.num_running_reqs,
                    scheduler_stats.num_waiting_reqs,
                    before.prefix_queries + cache.queries,
                    before.prefix_hits + cache.hits,
                )

        def log_engine_initialized(self) -> None:
            pass

    return Recorder
