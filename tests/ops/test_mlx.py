"""What only the MLX back end has: one thread, finished tensors at borders, halves, devices, gradients."""

from __future__ import annotations

import gc
import io
import re
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.errors import BackendError, MissingExtra
from portavoz.flow import MelSpec
from portavoz.ops.mlx import CACHE_LIMIT
from portavoz.ops.mlx_gradients import gradients
from portavoz.ops.worker import Worker

MLX, TORCH = ops.open("mlx"), ops.open("torch")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def layer(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"bias": None, **fields})


def together(run: Any, threads: int = 8) -> list[Any]:
    """What `run(i)` gives on so many threads at once; a thread that hangs fails the test."""
    out: list[Any] = [None] * threads

    def each(i: int) -> None:
        try:
            out[i] = run(i)
        except Exception as problem:  # noqa: BLE001 - handed to the test
            out[i] = problem

    running = [threading.Thread(target=each, args=(i,), daemon=True) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert not any(thread.is_alive() for thread in running)
    return out


# One thread


def test_calls_from_many_threads_take_turns_and_give_the_same_numbers() -> None:
    weight, x = MLX.tensor(normal(32, 32)), normal(5, 32)

    def run(i: int) -> np.ndarray:
        y = MLX.tensor(x)
        for _ in range(20):
            y = MLX.softmax(MLX.linear(y, layer(weight=weight))) * 3.0 + 1.0  # arithmetic on the caller's thread
        return MLX.numpy(y)

    answers = together(run)
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert np.isfinite(answers[0]).all()


def test_every_word_runs_on_the_models_own_thread() -> None:
    seen: set[int] = set()

    def look() -> None:
        seen.add(threading.get_ident())

    together(lambda i: MLX.worker.call(look))
    assert seen == {MLX.worker.thread} != {threading.get_ident()}


def test_two_models_have_a_thread_each_and_work_at_once() -> None:
    backs = [MLX, ops.open("mlx")]
    assert backs[0].worker.thread != backs[1].worker.thread
    x = normal(64, 64)
    answers = together(lambda i: backs[i % 2].numpy(backs[i % 2].softmax(backs[i % 2].tensor(x))))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_a_tensor_that_another_thread_has_not_finished_is_one_sentence() -> None:
    x = MLX.tensor(normal(3))
    (unfinished,) = together(lambda i: x * 2.0, 1)
    with pytest.raises(BackendError, match=r"mlx could not finish a stage: .*; give it tensors that are finished"):
        MLX.numpy(unfinished)


def test_an_error_on_the_models_thread_reaches_the_caller_and_the_thread_lives_on() -> None:
    with pytest.raises(ValueError, match="addmm"):
        MLX.linear(MLX.tensor(normal(2, 3)), layer(weight=MLX.tensor(normal(2, 2)), bias=MLX.tensor(normal(2))))
    assert MLX.numpy(MLX.relu(MLX.tensor(normal(2)))).shape == (2,)


def test_a_forked_process_is_told_instead_of_waiting_for_ever() -> None:
    code = """if True:
        import os, sys
        from portavoz import ops
        from portavoz.errors import BackendError
        back = ops.open("mlx")
        child = os.fork()
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        for use in (lambda: back.full((2,), 1.0), lambda: ops.open("mlx")):
            try:
                use()
            except BackendError as problem:
                print(problem, flush=True)
    """
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()
    assert first.startswith("this mlx model was opened before the process forked")
    assert second.startswith("mlx was used in the process that this one was forked from")


def test_after_a_fork_a_process_may_open_its_first_model() -> None:
    code = """if True:
        import os, sys
        import numpy as np
        import portavoz.ops.mlx
        child = os.fork()
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        back = portavoz.ops.open("mlx")
        print(back.numpy(back.tensor(np.ones(3)) + 1.0).sum())
    """
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "6.0\n"), run.stderr


@pytest.mark.parametrize("options", ["", pytest.param(", compiled=True", marks=pytest.mark.slow)])
def test_a_process_with_models_ends_well(options: str) -> None:
    code = f"""if True:
        import numpy as np
        from portavoz import ops
        backs = [ops.open("mlx"{options}) for _ in range(3)]
        for back in backs:
            back.numpy(back.tanh(back.tensor(np.ones((3, 4), np.float32))) + 1.0)
            back.numpy(back.gelu(back.tensor(np.ones((3, 4), np.float32))))
        del backs[0]
    """
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (run.returncode, run.stderr) == (0, "")


def test_after_its_end_a_worker_says_so() -> None:
    last: list[int] = []
    worker = Worker("test", finish=lambda: last.append(threading.get_ident()))
    worker.end()
    assert last == [worker.thread]
    with pytest.raises(BackendError, match="this test model's thread has ended: open the model again"):
        worker.call(int)


def test_a_worker_settles_what_crosses_over_and_nothing_else() -> None:
    seen: list[Any] = []
    worker = Worker("test", settle=lambda value: (seen.append(value), value)[1])
    assert worker.call(lambda a, *, b: worker.call(lambda: a + b), 1, b=2) == 3
    assert seen == [((1,), {"b": 2}), 3]


def test_a_model_that_is_gone_leaves_no_thread() -> None:
    back = ops.open("mlx")
    thread = next(t for t in threading.enumerate() if t.ident == back.worker.thread)
    del back
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


# Options


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    with pytest.raises(
        MissingExtra, match=r"the back end 'mlx' needs the package 'mlx': pip install 'portavoz\[mlx\]'"
    ):
        ops.open("mlx")


def test_options_that_cannot_be_are_one_sentence_each() -> None:
    with pytest.raises(BackendError, match=r"mlx device 'abacus' cannot be used here: there is Device\("):
        ops.open("mlx", device="abacus")
    with pytest.raises(BackendError, match="mlx computes in float32, float16, bfloat16; 'float64' is none of them"):
        ops.open("mlx", dtype="float64")
    with pytest.raises(BackendError, match="convolutions='guess' is not known to mlx: there are native and matmul"):
        ops.open("mlx", convolutions="guess")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_halves_inside_and_floats_outside(dtype: str) -> None:
    back = ops.open("mlx", dtype=dtype)
    x = back.tensor(normal(2, 7, 8))
    p = layer(weight=back.tensor(normal(8)), bias=back.tensor(normal(8)), eps=1e-5)
    assert dtype in str(x.dtype) and x.dtype == back.full((1,), 0.0).dtype
    got = back.numpy(back.gelu(back.layer_norm(x, p)))
    exact = layer(weight=MLX.tensor(normal(8)), bias=MLX.tensor(normal(8)), eps=1e-5)
    want = MLX.numpy(MLX.gelu(MLX.layer_norm(MLX.tensor(normal(2, 7, 8)), exact)))
    assert got.dtype == (np.float32 if dtype == "bfloat16" else np.float16)
    assert np.abs(got - want).max() < 0.05
    assert np.abs(got - want).max() > 1e-5  # it really was a half


def test_integers_and_masks_keep_their_type() -> None:
    assert MLX.numpy(MLX.tensor(np.array([1, 2]))).dtype == np.int64
    assert MLX.numpy(MLX.tensor(np.array([True]))).dtype == bool
    assert MLX.numpy(MLX.tensor(np.array([1.0]))).dtype == np.float32


def test_memory_is_reported_and_what_is_kept_has_a_limit() -> None:
    before = MLX.memory
    held = MLX.tensor(np.zeros((512, 512), np.float32))
    assert MLX.memory["active"] - before["active"] == held.nbytes == 2**20
    assert MLX.memory["peak"] >= MLX.memory["active"]
    many = [MLX.tensor(np.zeros(2**24, np.float32)) for _ in range(6)]  # 384 MB
    assert MLX.memory["active"] > CACHE_LIMIT
    del many
    MLX.tensor(np.zeros(2**24, np.float32))  # what is over the limit goes back with the next allocation
    assert MLX.memory["cache"] <= CACHE_LIMIT


CHAINS: dict[str, Any] = {
    "gelu": lambda o, x: o.gelu(x),
    "gelu_tanh": lambda o, x: o.gelu(x, True),
    "silu": lambda o, x: o.silu(x),
    "mish": lambda o, x: o.mish(x),
    "elu": lambda o, x: o.elu(x),
    "leaky_relu": lambda o, x: o.leaky_relu(x, 0.1),
    "snake": lambda o, x: o.snake(x, layer(alpha=x[0, 0])),
    "batch_norm": lambda o, x: o.batch_norm(
        x, layer(running_mean=x[0, 0], running_var=x[0, 0], weight=x[0, 0], bias=x[0, 0], eps=1e-5)
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_one_kernel_or_two_once_it_is_compiled(name: str) -> None:
    """Looked at in the graph, before anything runs: to run it would start a C++ compiler here."""

    def kernels(compiled: bool) -> int:
        back, text = ops.open("mlx", compiled=compiled), io.StringIO()
        x = back.tensor(normal(1, 3, 4))
        back.worker.call(lambda: mx.export_to_dot(text, CHAINS[name](back, x)) or True)
        views = {"Broadcast", "Slice", "Squeeze", "ExpandDims", "Reshape"}
        return sum(node not in views for node in re.findall(r'label ="(\w+)"', text.getvalue()))

    apart, joined = kernels(False), kernels(True)
    assert joined <= 2 and joined < apart, (apart, joined)


def test_what_a_model_freed_goes_back_when_it_ends() -> None:
    back = ops.open("mlx")
    back.tensor(np.zeros(2**22, np.float32))
    assert back.memory["cache"] >= 2**24
    del back
    gc.collect()
    assert MLX.memory["cache"] < 2**24


def test_writing_into_a_cache_copies_nothing() -> None:
    buffer = MLX.full((1, 4, 2), 0.0)
    assert MLX.write(buffer, MLX.tensor(normal(1, 2, 2)), 1) is buffer
    assert np.array_equal(MLX.numpy(buffer)[0, 1:3], normal(1, 2, 2)[0])


# Gradients: the same text on torch is the judge

SPEC = MelSpec(fft=8, hop=2, window=8, padding="same")
FACTS = {"stride": 2, "dilation": 1, "padding": 1}


def attend(o: Any, q: Any, k: Any, v: Any) -> Any:
    mask = o.tensor(np.tril(np.ones((3, 3), bool)))
    return o.attention(q, k, v, heads=2, scale=0.5, mask=mask, bias=o.full((1, 2, 3, 3), 0.5))


def recur(o: Any, x: Any, wi: Any, wh: Any, b: Any) -> Any:
    zero = o.full((2, 3), 0.0)
    return o.lstm(x, (zero, zero), layer(weight_ih=wi, weight_hh=wh, bias_ih=b, bias_hh=b))[0]


# name → function of the back end and tensors; shapes (the weight's in torch's order)
PATHS: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "attention": (attend, ((2, 3, 4), (2, 3, 4), (2, 3, 4))),
    "linear": (lambda o, x, w, b: o.linear(x, layer(weight=w, bias=b)), ((2, 3, 4), (5, 4), (5,))),
    "embedding": (lambda o, w: o.embedding(o.tensor(np.array([[0, 2, 2]])), layer(weight=w)), ((3, 4),)),
    "layer_norm": (
        lambda o, x, w, b: o.layer_norm(x, layer(weight=w, bias=b, eps=1e-5)),
        ((1, 3, 4), (4,), (4,)),
    ),
    "rms_norm": (lambda o, x, w: o.rms_norm(x, layer(weight=w, eps=1e-5)), ((1, 3, 4), (4,))),
    "rope": (lambda o, x, c, s: o.rope(x, c, s, 2), ((1, 3, 4), (3, 1), (3, 1))),
    "spectrum": (lambda o, x: o.stft(x, layer(spec=SPEC))[0], ((1, 12),)),
    "wave": (lambda o, a, b: o.istft(a, b, layer(spec=SPEC)), ((1, 3, 5), (1, 3, 5))),
    "gather": (lambda o, x: o.gather(x, o.tensor(np.array([[0, 0, 2]]))), ((1, 3, 2),)),
    "snake": (lambda o, x, a: o.snake(x, layer(alpha=a)), ((1, 3, 2), (2,))),
    "gelu": (lambda o, x: o.gelu(x), ((3, 4),)),
    "upsample": (lambda o, x: o.upsample(o.pad(x, 1, 2), 3), ((1, 3, 2),)),
    "lstm": (recur, ((2, 4, 3), (12, 3), (12, 3), (12,))),
}


@pytest.mark.parametrize("name", sorted(PATHS))
def test_gradients_are_torchs(name: str) -> None:
    run, shapes = PATHS[name]
    values = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    theirs = [TORCH.tensor(v, train=True) for v in values]
    out = run(TORCH, *theirs)
    push = normal(*out.shape, seed=9)
    (out * TORCH.tensor(push)).sum().backward()
    ours = {str(i): MLX.tensor(v, train=True) for i, v in enumerate(values)}
    _, found = gradients(MLX, lambda: (run(MLX, *ours.values()) * MLX.tensor(push)).sum(), ours)
    for (i, got), want, first in zip(found.items(), theirs, values):
        assert want.grad is not None
        a, b = MLX.numpy(got), want.grad.numpy()
        assert np.linalg.norm(a - b) <= 3e-6 * max(np.linalg.norm(b), np.sqrt(b.size)), i
        assert np.array_equal(MLX.numpy(ours[i]), first)  # the tensors are as they were


@pytest.mark.parametrize("convolutions", ["native", "matmul"])
def test_gradients_of_convolutions_are_torchs(convolutions: str) -> None:
    back, x, w, u = ops.open("mlx", convolutions=convolutions), normal(1, 5, 4), normal(6, 2, 3), normal(6, 2, 4)
    theirs = [TORCH.tensor(v, train=True) for v in (x, w, u)]
    ours = {"x": back.tensor(x), "w": back.tensor(w.transpose(0, 2, 1)), "u": back.tensor(u.transpose(1, 2, 0))}

    def run(o: Any, x: Any, w: Any, u: Any) -> Any:
        y = o.tanh(o.conv1d(x, layer(weight=w, groups=2, **FACTS)))
        return (o.conv_transpose1d(y, layer(weight=u, stride=2, padding=1)) ** 2).sum()

    loss = run(TORCH, *theirs)
    loss.backward()
    value, found = gradients(back, lambda: run(back, *ours.values()), ours)
    assert float(value.item()) == pytest.approx(float(loss.detach()), rel=1e-5)
    wanted = {"x": theirs[0].grad, "w": theirs[1].grad.permute(0, 2, 1), "u": theirs[2].grad.permute(1, 2, 0)}
    for name, want in wanted.items():
        assert np.abs(back.numpy(found[name]) - want.numpy()).max() < 1e-5 * float(want.abs().max()) + 1e-6


def test_a_loss_that_fails_leaves_the_tensors_as_they_were() -> None:
    t = MLX.tensor(normal(3), train=True)
    with pytest.raises(ZeroDivisionError):
        gradients(MLX, lambda: t.sum() / (1 // 0), {"t": t})
    assert np.array_equal(MLX.numpy(t), normal(3))


def test_torch_and_mlx_live_in_one_process() -> None:
    x = normal(40, 40)
    assert np.allclose(MLX.numpy(MLX.softmax(MLX.tensor(x))), torch.softmax(torch.from_numpy(x), -1).numpy(), atol=1e-7)
