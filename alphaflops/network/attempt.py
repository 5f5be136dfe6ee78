"""One call of a network with tensors of one kind, under settings that make its list of operators always the same."""

import contextlib
import logging
import pickle
import random
import sys
from collections.abc import Iterator
from inspect import isgenerator
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils import _pytree

from ..errors import AlphaflopsError
from ..host.cpu import memory_bytes
from .dispatch import Recorder
from .guard import Guard, forget
from .inputs import floating_type, materialise, said

NAMED: Final = 3
"""Unused parameters that a note names."""


class Attempt:
    """One call of a network; everything is put back after it.

    Parameters
    ----------
    model : torch.nn.Module
        Network.
    how : {"meta", "fake", "cpu"}
        Tensors without data, without data but with a device, or real ones.
    graph : bool
        Whether gradients can be taken.
    given : (list, dict)
        Arguments, as `alphaflops.network.inputs.normalise` gave them.
    backward : bool
        Whether the backward pass follows.

    Attributes
    ----------
    recorder : Recorder
        What ran.
    error, blame : str
        What a failed call said, and the same with the layer and the shapes that it was given; "" where it worked.

    Raises
    ------
    AlphaflopsError
        If an input cannot be made, or nothing requires a gradient.
    """

    def __init__(self, model: torch.nn.Module, how: str, graph: bool, given: Any, backward: bool) -> None:
        self.how, self.device, self.recorder = how, "meta" if how == "meta" else "cpu", Recorder(model, False)
        self.error = self.blame = ""
        try:
            with contextlib.ExitStack() as stack:
                _settings(stack, how, graph)
                self._run(model, given, backward)
        except AlphaflopsError:
            raise
        except Exception as error:
            self.error = said(error)
            self.blame = (self.blame or self._layer()) + self.error
        self.recorder.failed = None  # it holds tensors of the call
        self._left = 0 if how == "cpu" else forget(self.recorder.made)

    def _run(self, model: torch.nn.Module, given: Any, backward: bool) -> None:
        self.blame, before = f"the network has no {self.how} tensors: ", _random_numbers()
        with Guard(model, *given) as guard:
            self._unprotected = guard.unprotected
            if self.how == "cpu":
                wanted = sum(t.numel() * t.itemsize for t in model.parameters() if t.device.type != "cpu")
                if wanted > (free := memory_bytes()[1] or wanted):
                    raise MemoryError(f"they need {wanted / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free")
            model = guard.exchange(self._other)(model)
            self.blame = ""
            args, kwargs = materialise(given, self.device, floating_type(model))
            self.recorder = recorder = Recorder(model, self.how == "cpu")
            begin, end = register_module_forward_pre_hook, register_module_forward_hook
            try:
                with begin(recorder.begin), end(recorder.end, always_call=True), recorder:
                    outputs = model(*args, **kwargs)
                    outputs = list(outputs) if isgenerator(outputs) else outputs
                    if backward:
                        roots = differentiable(outputs)
                        torch.autograd.backward(roots, [torch.empty_like(t) for t in roots])
            finally:
                self._draws = before != _random_numbers()
                recorder.put_back()

    def _other(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give the tensor of this kind that takes the place of one; real weights share their memory."""
        if self.how != "cpu" or tensor.is_meta:
            return torch.zeros_like(tensor, device=self.device, requires_grad=False)
        return tensor.detach().to("cpu", copy=not isinstance(tensor, torch.nn.Parameter))

    def _layer(self) -> str:
        """Name the layer that failed and what it was given."""
        if self.recorder.failed is None:
            return "the network failed: "
        _, (path, kind, _), inputs = self.recorder.failed
        shapes = [tuple(t.shape) for t in _pytree.tree_leaves(inputs) if hasattr(t, "shape")]
        given = f" was given {', '.join(map(str, shapes))}" if shapes else " failed"
        return f"layer {path or 'at the top'} ({kind}){given}: "

    def notes(self) -> Iterator[str]:
        """Say what a reader must know about how this call was counted."""
        recorder = self.recorder
        if (recorder.drew and recorder.read) or self._draws:
            yield "random numbers decided what ran: the count is that of one draw"
        if self.how == "cpu":
            yield "counted on real values: inputs given as shapes were random numbers, or zeros for integers"
        if unused := recorder.unused:
            names = ", ".join(unused[:NAMED]) + (", …" if len(unused) > NAMED else "")
            yield (
                f"no operator used {len(unused)} of {recorder.weights} parameters ({names}): "
                "what runs in other threads, or did not run, is not counted"
            )
        if self._left:
            yield f"{self._left} tensors without data stayed behind outside of the network"
        if self._unprotected:
            yield f"not protected from the call: {', '.join(sorted(self._unprotected))}"


def _random_numbers() -> bytes:
    """Give the state of Python's and NumPy's random numbers."""
    return pickle.dumps((random.getstate(), np.random.get_state(legacy=False)))  # noqa: NPY002


def differentiable(outputs: Any) -> list[torch.Tensor]:
    """Give the tensors in what a network gave, its attributes included, that a gradient can be taken of, each once.

    Raises
    ------
    AlphaflopsError
        If there are none.
    """
    values = vars(outputs) if hasattr(outputs, "__dict__") and not isinstance(outputs, torch.Tensor) else outputs
    leaves = [t for t in _pytree.tree_leaves([outputs, values]) if isinstance(t, torch.Tensor) and t.requires_grad]
    if not leaves:
        raise AlphaflopsError("no output requires a gradient: a backward pass needs a trainable parameter")
    return list({id(t): t for t in leaves}.values())


def _settings(stack: contextlib.ExitStack, how: str, graph: bool) -> None:
    """Make what runs always the same, until the stack is left."""
    enter: Any = stack.enter_context
    # It logs a failure before it raises it.
    enter(patch.object(logging.getLogger("torch._subclasses.fake_tensor"), "disabled", True))
    enter(torch.inference_mode(not graph))
    if graph:  # tensors made in a caller's inference mode could not be differentiated
        enter(torch.enable_grad())
        enter(sdpa_kernel(SDPBackend.MATH))
    stack.callback(torch._C._set_mkldnn_enabled, torch._C._get_mkldnn_enabled())
    torch._C._set_mkldnn_enabled(False)
    stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(False)
    if "torch._dynamo" in sys.modules:  # compiled parts run as they are written
        enter(torch.compiler.set_stance("force_eager"))
    _autocast_on_cpu(enter, how)
    if how == "fake":
        enter(FakeTensorMode(allow_non_fake_inputs=True))


def _autocast_on_cpu(enter: Any, how: str) -> None:
    """Let mixed precision that names any device hold for tensors on the CPU; tensors without a device have none."""
    kind: Any = torch.autocast
    init, begin = kind.__init__, kind.__enter__

    def init_on_cpu(self: Any, device_type: str, dtype: Any = None, *args: Any, **kwargs: Any) -> None:
        init(self, "cpu", dtype or torch.get_autocast_dtype(device_type), *args, **kwargs)

    def begin_on_cpu(self: Any) -> Any:
        if how == "meta" and self._enabled:
            raise RuntimeError("autocast needs a device")
        enter(patch.object(self, "device", "cpu"))
        return begin(self)

    active = [device for device in ("cuda", "cpu") if torch.is_autocast_enabled(device)]
    enter(patch.multiple(kind, __init__=init_on_cpu, __enter__=begin_on_cpu))
    if active:
        enter(torch.autocast(active[0]))
