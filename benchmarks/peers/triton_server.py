"""Real NVIDIA Triton, from the binary in the wheel `nvidia-pytriton`, over a model repository that is written here."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.peers.environments import PeerMissing, child, site_packages
from serve.ray_cluster import free_port

START_TIMEOUT_S, START_ATTEMPTS = 60.0, 3
Tensors = Mapping[str, tuple[str, Sequence[int]]]  # by name: data type and dims without the batch


@dataclass(frozen=True, slots=True)
class TritonModel:
    """One model of a repository: its config.pbtxt, and its model.py unless it is an ensemble."""

    name: str
    config: str
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One model of an ensemble. A tensor has one name in all steps."""

    name: str
    inputs: Tensors
    outputs: Tensors

    def model(self, source: Path, max_batch_size: int, ragged: bool) -> TritonModel:
        """In the Python backend, one instance, with dynamic batches; `ragged`: of requests of different shapes too."""
        more = " allow_ragged_batch: true" if ragged else ""
        lines = [*_tensors(self.inputs, self.outputs, more), 'backend: "python"', "dynamic_batching {}"]
        lines += [f"max_batch_size: {max_batch_size}", "instance_group [{ count: 1 kind: KIND_CPU }]"]
        return TritonModel(self.name, "\n".join(lines), source)


def ensemble(name: str, steps: Sequence[Step], inputs: Tensors, outputs: Tensors, max_batch_size: int) -> TritonModel:
    """The steps in a row as one model."""
    lines = [*_tensors(inputs, outputs, ""), 'platform: "ensemble"', f"max_batch_size: {max_batch_size}"]
    return TritonModel(name, "\n".join([*lines, f"ensemble_scheduling {{ {' '.join(map(_step, steps))} }}"]))


@dataclass(frozen=True, slots=True)
class Triton:
    """A running one."""

    http: str  # host:port
    grpc: str
    pid: int


@contextmanager
def triton(
    environment: Path,
    models: Sequence[TritonModel],
    folder: Path,
    files: Mapping[str, object],
    stages: Path | None = None,
) -> Iterator[Triton]:
    """Runs inside the block, over a repository in `folder`; `files`: JSON beside each model's versions, by file name.

    `stages`: the virtual environment that the stages run in, when it is not Triton's own.
    Raises `PeerMissing` with the end of Triton's log when it does not get ready.
    """
    packages = site_packages(environment)
    _write(models, folder / "repository", files)
    backends = _backends(packages, folder / "backends")
    ports = {name: free_port() for name in ("http", "grpc", "metrics")}
    options = [
        part for name, port in ports.items() for part in (f"--{name}-port={port}", f"--{name}-address=127.0.0.1")
    ]
    command = [
        str(packages / "pytriton/tritonserver/bin/tritonserver"),
        f"--model-repository={folder / 'repository'}",
        f"--backend-directory={backends}",
        "--exit-timeout-secs=5",
        *options,
    ]
    log = folder / "triton.log"
    try:
        for attempt in range(START_ATTEMPTS):  # on a busy machine its start can fail for once, on a lock of its own
            with child(command, _environment(packages, stages or environment), log) as process:
                try:
                    _wait(process, f"http://127.0.0.1:{ports['http']}/v2/health/ready", log)
                except PeerMissing:
                    if attempt == START_ATTEMPTS - 1:
                        raise
                    continue
                yield Triton(f"127.0.0.1:{ports['http']}", f"127.0.0.1:{ports['grpc']}", process.pid)
                return
    finally:
        _end_stubs(backends)


def _end_stubs(backends: Path) -> None:
    """The processes of Python stages outlive a server that died: those of this folder are ours."""
    for process in psutil.process_iter(["cmdline"]):
        if any(part.startswith(str(backends)) for part in (process.info["cmdline"] or [])[:1]):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _write(models: Sequence[TritonModel], repository: Path, files: Mapping[str, object]) -> None:
    for model in models:
        version = repository / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(model.config)
        if model.source:
            path = f"import sys\n\nsys.path.insert(0, {str(Path.cwd())!r})\n"
            (version / "model.py").write_text(path + model.source.read_text())
        for name, content in files.items():
            (version.parent / name).write_text(json.dumps(content))


def _backends(packages: Path, folder: Path) -> Path:
    """The Python backend with the stub of this interpreter's version beside it, where Triton looks for it."""
    source = packages / "pytriton/tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = source / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise PeerMissing(f"triton: nvidia-pytriton has no stub of its Python backend for Python {version}")
    shutil.copytree(source / "backends/python", folder / "python")
    shutil.copy(stub, folder / "python")
    return folder


def _environment(packages: Path, stages: Path) -> dict[str, str]:
    """The stubs' interpreter is an isolated one: it reads no PYTHONPATH, but takes itself for the first one in PATH."""
    libraries = (sysconfig.get_config_var("LIBDIR"), str(packages / "nvidia_pytriton.libs"))
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PATH": os.pathsep.join((str(stages / "bin"), os.environ["PATH"])),
        "OMP_NUM_THREADS": "1",
    }


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    give_up = time.perf_counter() + START_TIMEOUT_S
    while time.perf_counter() < give_up and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise PeerMissing("triton does not get ready here:\n" + "\n".join(log.read_text().splitlines()[-20:]))


def _tensors(inputs: Tensors, outputs: Tensors, more: str) -> list[str]:
    return [
        f'{kind} [{{ name: "{name}" data_type: TYPE_{data_type} dims: {list(dims)}{extra} }}]'
        for kind, tensors, extra in (("input", inputs, more), ("output", outputs, ""))
        for name, (data_type, dims) in tensors.items()
    ]


def _step(step: Step) -> str:
    inputs = " ".join(f'input_map {{ key: "{name}" value: "{name}" }}' for name in step.inputs)
    outputs = " ".join(f'output_map {{ key: "{name}" value: "{name}" }}' for name in step.outputs)
    return f'step {{ model_name: "{step.name}" model_version: -1 {inputs} {outputs} }}'
