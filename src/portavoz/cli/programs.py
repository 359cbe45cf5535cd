"""The two sides of a comparison as the command line names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from .. import families, plugins
from ..errors import InputError, PortavozError, ProgramError
from ..input_files import is_file, is_folder, read_arrays


def check_names(*names: str) -> None:
    """Raises InputError for a side that cannot be one, before anything heavy is imported."""
    for name in names:
        known = (
            name in families.names() or "@" in name or ":" in name or is_file(name) or is_file(Path(name) / "kit.json")
        )
        if not known:
            there = "a folder without a kit" if is_folder(name) else "there is no such file"
            raise InputError(
                f"{name}: {there}; give a file, 'module:function', VOICE@RUNTIME, or a family "
                f"({', '.join(families.names())})"
            )


def side(name: str, config: str = "tiny") -> Any:
    """A trace that is read, or a program that can be run. Raises InputError. `config` is that of a family's probe."""
    check_names(name)
    if name.endswith(".onnx"):
        return _graph(Path(name))
    if is_file(name):
        from ..lab.trace.reader import read

        return read(name)
    from ..lab.pipeline.pipeline_program import PipelineProgram

    if "@" in name:
        return PipelineProgram(name)
    if ":" in name:
        made = program(name)
        return PipelineProgram(name, stages=made) if hasattr(made, "stages") else made
    if name in families.names():
        from ..lab import probes

        family = families.get(name)
        if family.references:
            return probes.reference_program(family, probes.configured(family, config))[0]
        return probes.program(family, probes.configured(family, config), ops="numpy")
    from ..lab.kit.kit import open_kit

    return open_kit(name).subject


def _graph(path: Path) -> Any:
    """An ONNX file, given what the .npz file beside it holds."""
    from ..lab.instrument.onnx import OnnxProgram

    beside = path.with_suffix(".npz")
    if not is_file(beside):
        raise InputError(f"{path}: its inputs are unknown; write them by name into {beside.name} (numpy.savez)")
    return OnnxProgram(path, read_arrays(beside))


def program(name: str) -> Any:
    """What 'package.module:function' runs: the subject that the function returns, or else the function itself."""
    function = plugins.named(name)
    if not callable(function):
        raise InputError(f"{name}: is of type {type(function).__name__}; give a function without arguments")
    _check_signature(name, function)
    from ..lab.instrument.functions import program_of

    return program_of(function, name=name)


def _check_signature(name: str, function: Any) -> None:
    import inspect

    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError) as problem:
        raise InputError(f"{name}: cannot be called ({problem}); give a function without arguments") from problem


@contextmanager
def crashes(*names: str) -> Iterator[None]:
    """Raises ProgramError for an exception inside one of the programs 'package.module:function' among `names`.

    It is the program's when the program's own package is in the traceback; any other one is ours, and passes through.
    """
    try:
        yield
    except PortavozError:
        raise
    except (Exception, SystemExit) as error:
        packages = {name.partition(":")[0].partition(".")[0]: name for name in names if ":" in name}
        for frame, line in reversed(list(walk_tb(error.__traceback__))):
            name = packages.get(str(frame.f_globals.get("__name__")).partition(".")[0])
            if name is not None:
                where = f"{Path(frame.f_code.co_filename).name}, line {line}"
                raise ProgramError(
                    f"{name}: raised {type(error).__name__}: {str(error)[:300]} ({where}); it cannot be compared"
                ) from error
        raise
