"""Stages on OpenVINO (extra `openvino`), from the same ONNX graphs.

Four pitfalls are avoided here (OpenVINO 2026.4). Without ONNX Runtime's basic pass the graph's many transposes stay, at
twice the time. A hint of bfloat16 on a processor without it is 5–18 times slower, so the precision is always set.
Pinned threads of two stages would share one core. A deleted Core leaves its thread a signal stack that is no longer
mapped, and the next Ctrl-C kills the process, so there is one Core, which is never deleted.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..deadline import current
from ..errors import BackendError, MissingExtra, WeightError
from ..input_files import GRAPH, check, is_there
from .onnx import basic

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
DONTNEED, PAGE_OUT = 4, 21  # Linux's MADV_DONTNEED, MADV_PAGEOUT
GROUP = 64  # inputs of an int8 product that share a scale


def runtime() -> Any:
    """The package. Raises MissingExtra."""
    # Its import, and NNCF's, would send an event: without this package both fall back to doing nothing.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    try:
        import openvino
    except ImportError as problem:
        raise MissingExtra(problem.name or "openvino", "openvino", "runtime='openvino'") from problem
    return openvino


@functools.cache
def core() -> Any:
    """OpenVINO's Core, for the life of the process. Raises MissingExtra."""
    return runtime().Core()


def convert(graph: Path, folder: Path, *, int8: bool) -> None:
    """An ONNX file → model.xml and model.bin in `folder`; with `int8`, matrices have a scale per row."""
    ov = runtime()
    model = core().read_model(basic(graph, folder / "basic.onnx", beside=True))
    if int8:
        model = _compressed(model)
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    del model  # it maps the files
    for path in folder.glob("basic.*"):
        path.unlink()


def _compressed(model: Any) -> Any:
    try:
        import nncf
    except ImportError as problem:
        raise MissingExtra(problem.name or "nncf", "openvino", "precision='int8'") from problem
    with _quiet(nncf):
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)


@contextmanager
def _quiet(nncf: Any) -> Iterator[None]:
    """Suppress its tables and progress bars."""
    import contextlib
    import io
    import logging

    level = logging.getLogger("nncf").level
    nncf.set_log_level(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        nncf.set_log_level(level or logging.INFO)


def page_out(path: Path) -> None:
    """Ask Linux to drop a mapped file's pages from memory; a page that is read again comes from the file.

    Read-only pages stay in the system's cache, from where they come back at once.
    """
    if sys.platform != "linux":
        return
    import ctypes

    system = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.endswith(f" {path.resolve()}"):
            place, rights = line.split(maxsplit=2)[:2]
            start, end = (int(side, 16) for side in place.split("-"))
            advice = PAGE_OUT if "w" in rights else DONTNEED
            system.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


class Session:
    """One compiled stage: an entry's model.xml. Many threads may run it at once; it is opened at the first use."""

    def __init__(self, path: str | Path, *, threads: int = 1, precision: str = "float32") -> None:
        self.path, self.threads, self.precision = Path(path), threads, precision
        self._lock, self._model, self._packed = threading.Lock(), None, False
        if not is_there(self.path):
            raise WeightError(f"{self.path}: the compiled stage is missing; delete its folder to compile it again")
        check(self.path, GRAPH, remedy="delete its folder, and it is made again", error=WeightError)

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The stage's outputs in order.

        Raises WeightError for a damaged file, BackendError when a run fails, DeadlineError when it takes too long.
        """
        made = [y.copy() for y in self._infer(self._request(), inputs).values()]
        self._release()
        return made

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """A call that reads these arrays in place, as they are at that time, and writes these."""
        ov, request = runtime(), self._request()
        for name, array in inputs.items():
            request.set_tensor(name, ov.Tensor(array, shared_memory=True))

        def call() -> None:
            self._infer(request, None)
            for i, array in enumerate(outputs.values()):
                array[...] = request.get_output_tensor(i).data
            self._release()

        return call

    def close(self) -> None:
        """Free the memory; the next use opens the stage again. Running or bound calls keep their own session."""
        with self._lock:
            self._model, self._packed = None, False

    def _release(self) -> None:
        """After the first run weights are packed, and their file, which stays mapped, is not read again."""
        if not self._packed:
            self._packed = True
            page_out(self.path.with_suffix(".bin"))

    def _infer(self, request: Any, inputs: Any) -> Any:
        deadline = current()
        try:
            if deadline is None:
                return request.infer(inputs, share_inputs=True)
            with deadline.interrupting(request.cancel):
                request.start_async(inputs, share_inputs=True)  # `infer` cannot be cancelled
                if deadline.reason:  # in the moment before it was started
                    request.cancel()
                request.wait()
            return request.results
        except RuntimeError as problem:
            reason = str(problem).strip().splitlines()[-1]
            raise BackendError(f"{self.path.parent.name}: OpenVINO failed ({reason}); try runtime='onnx'") from problem

    def _request(self) -> Any:
        """A new one for each call: it holds on to its inputs, and costs two milliseconds where T3 takes fifty."""
        with self._lock:
            if self._model is None:
                self._model = self._compiled()
            model = self._model
        return model.create_infer_request()

    def _compiled(self) -> Any:
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision], "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self.threads, "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        if self.precision == "int8":
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP
        try:
            return core().compile_model(str(self.path), "CPU", options)
        except RuntimeError as problem:
            reason = str(problem).strip().splitlines()[-1]
            raise WeightError(
                f"{self.path}: not a model that OpenVINO can open ({reason}); delete its folder to compile it again"
            ) from problem
