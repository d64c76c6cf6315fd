"""What must not be imported: vLLM's processes import the script again that started them, and fail beside numba."""

import subprocess
import sys

import pytest

MODULES = (
    "benchmarks.bench_adapt",
    "benchmarks.bench_compression",
    "benchmarks.bench_grounding",
    "benchmarks.bench_lora",
    "benchmarks.bench_personal",
    "benchmarks.bench_text_order",
    "benchmarks.bench_throughput",
    "serve.cli",
    "serve.deployments",
    "serve.ray_hosts",
    "serve.ray_ingress",
    "serve.stages.candidates",
)


@pytest.mark.thorough
def test_no_module_that_starts_an_engine_or_a_replica_brings_the_compiler_along() -> None:
    program = (
        f"import importlib, sys; [importlib.import_module(name) for name in {MODULES}]; print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
