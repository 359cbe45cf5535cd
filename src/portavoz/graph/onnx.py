"""Stages on ONNX Runtime, with a fixed number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import current
from ..errors import BackendError, WeightError, needed
from ..input_files import GRAPH, check, is_there

# Its kernel takes several times as long as the addition and the norm that it replaces (ONNX Runtime 1.31, one thread).
SLOWER = ["SkipLayerNormFusion"]


class Session:
    """One compiled stage. Many threads may run it at once; it is opened at the first use.

    planned: which values take the place of which is planned when it is opened. That takes seconds for a graph of
    thousands of nodes whose sizes are not known before it runs, and then finds little. packed: weights are laid out
    anew for speed when it is opened, which pays from a few runs on.
    """

    def __init__(self, path: str | Path, *, threads: int = 1, planned: bool = True, packed: bool = True) -> None:
        self.path, self.threads, self.planned, self.packed = Path(path), threads, planned, packed
        self._opened: Any = None
        self._lock = threading.Lock()
        if not is_there(self.path):
            raise WeightError(f"{self.path}: the voice's compiled stage is missing; install or export the voice again")
        check(self.path, GRAPH, remedy="install or export the voice again", error=WeightError)

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The stage's outputs in order.

        Raises WeightError for a damaged file, BackendError when a run fails, DeadlineError when it takes too long.
        """
        session = self._open()
        try:
            with _run_options() as options:
                return session.run(None, inputs, options)
        except _failures() as problem:
            raise _failed(self.path.name, problem) from problem

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """A call that reads these arrays in place, as they are at that time, and writes these: nothing is copied."""
        session, runtime = self._open(), _runtime()
        binding, values = session.io_binding(), []
        for arrays, add in ((inputs, binding.bind_ortvalue_input), (outputs, binding.bind_ortvalue_output)):
            for name, array in arrays.items():
                values.append(runtime.OrtValue.ortvalue_from_numpy(array))
                add(name, values[-1])
        return _Bound(session, binding, values, self.path.name)

    def close(self) -> None:
        """Free the memory; the next use opens the stage again. Running or bound calls keep their own session."""
        with self._lock:
            self._opened = None

    def describe(self) -> dict[str, list[tuple[str, list[Any]]]]:
        """Names and shapes of inputs and outputs; a string stands for a varying axis."""
        return _described(self._open())

    def output_types(self) -> list[str]:
        """The type of each output in order, such as "tensor(float)"."""
        return [str(o.type) for o in self._open().get_outputs()]

    def metadata(self) -> dict[str, str]:
        """The metadata of the file."""
        return dict(self._open().get_modelmeta().custom_metadata_map)

    def _open(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = _session(self.path, self.threads, self.planned, self.packed)
            return self._opened


class _Bound:
    """A session with its arrays; `values` keep them alive."""

    def __init__(self, session: Any, binding: Any, values: list[Any], name: str) -> None:
        self.session, self.binding, self.values, self.name = session, binding, values, name

    def __call__(self) -> None:
        try:
            with _run_options() as options:
                self.session.run_with_iobinding(self.binding, options)
        except _failures() as problem:
            raise _failed(self.name, problem) from problem


@contextmanager
def _run_options() -> Iterator[Any]:
    """Options of a run that ends with the caller's deadline; None if there is none."""
    deadline = current()
    if deadline is None:
        yield None
        return
    options = _runtime().RunOptions()
    with deadline.interrupting(lambda: setattr(options, "terminate", True)):
        yield options


def _failed(name: str, problem: BaseException) -> BackendError:
    reason = _reason(problem)
    return BackendError(f"{name}: ONNX Runtime failed ({reason}); try runtime='eager'")


def _reason(problem: BaseException) -> str:
    """The first line of an error, shortened, without control characters."""
    first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
    return "".join(sign if sign.isprintable() else "?" for sign in first[:300])


def computes_in_whole_numbers(graph: Path) -> bool:
    """Whether a file's products are those of `whole_numbers`: its operators' names occur in the file as text."""
    return b"MatMulInteger" in graph.read_bytes()


def weights_of(path: Path) -> Path:
    """The file of weights beside a graph, which is mapped; see `export.write`."""
    return path.with_suffix(".bin")


def basic(graph: Path, out: Path, *, beside: bool = False) -> Path:
    """Write a graph after ONNX Runtime's basic pass, in a form that any runtime can read; returns `out`.

    `beside`: with its weights in a separate file.
    """
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath, options.log_severity_level = str(out), 3
    if beside:
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", weights_of(out).name
        )
    runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return out


def folded(graph: Path) -> Path:
    """Compute constant subexpressions in the file; a session would otherwise hold both forms in memory.

    A graph that cannot be opened is left unchanged.
    """
    with suppress(*_failures()):
        basic(graph, graph.with_name("folded.onnx")).replace(graph)
    return graph


def _runtime() -> Any:
    with needed("onnxruntime", "onnx", "runtime='onnx'"):
        import onnxruntime
    return onnxruntime


def _failures() -> tuple[type[BaseException], ...]:
    """The exceptions that ONNX Runtime raises for a graph that it cannot open or run."""
    state = _runtime().capi.onnxruntime_pybind11_state
    names = (
        "Fail", "InvalidArgument", "RuntimeException", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NoModel",
        "NotImplemented", "EngineError", "EPFail",
    )  # fmt: skip
    # Its Python layer has errors of its own: a missing input, a name that is no UTF-8 (ValueError).
    return (*(kind for name in names if (kind := getattr(state, name, None)) is not None), ValueError, RuntimeError)


def interface(path: Path) -> dict[str, list[tuple[str, list[Any]]]]:
    """Names and shapes of a graph's inputs and outputs as in `Session.describe`, without optimising the graph first."""
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _described(_opened(path, options))


def _described(session: Any) -> dict[str, list[tuple[str, list[Any]]]]:
    return {
        "inputs": [(i.name, i.shape) for i in session.get_inputs()],
        "outputs": [(o.name, o.shape) for o in session.get_outputs()],
    }


def _session(path: Path, threads: int, planned: bool, packed: bool) -> Any:
    options = _runtime().SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.enable_mem_reuse = threads, 1, planned
    # Idle threads that spin would slow down whatever else the machine does between two sentences.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_prepacking", "0" if packed else "1")
    return _opened(path, options)


def _opened(path: Path, options: Any) -> Any:
    """An InferenceSession. Raises WeightError for a graph that ONNX Runtime cannot open."""
    options.log_severity_level = 3
    try:
        return _runtime().InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER
        )
    except _failures() as problem:
        reason = _reason(problem)
        raise WeightError(
            f"{path}: not a graph that ONNX Runtime can open ({reason}); install or export the voice again"
        ) from problem
