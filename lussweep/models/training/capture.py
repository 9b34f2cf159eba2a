"""Runs training steps as CUDA graphs, because small batches spend most time on kernel launches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from lussweep.errors import first_line

N_WARM_UP = 3
"""Steps before the capture. In them libraries choose algorithms and allocate workspaces."""

StepCall = Callable[..., None]
"""Does one training step: a step itself, or the replay of its graph."""


class TrainingStep(Protocol):
    """A training step. Its parts and sums hold everything that the next step depends on."""

    device: torch.device
    sums: torch.Tensor
    """Sums over steps, on the device."""

    def parts(self) -> Mapping[str, nn.Module | Optimizer]: ...

    def __call__(self, *inputs: Any) -> None: ...


def captured(step: TrainingStep, example: tuple[Any, ...]) -> tuple[StepCall, str]:
    """Capture `step` as a CUDA graph.

    Returns a function that runs the step, and how it runs: `captured`, or `eager` with the
    reason. `example` holds the inputs of a whole batch, on the device; inputs that are not tensors
    are constants. Whole batches replay the graph. An incomplete batch runs eagerly. Weights are
    unchanged on return, because the warm-up is undone. Use it in a single process only: messages
    between workers cannot be captured.
    """
    if step.device.type != "cuda":
        return step, "eager"
    before = _Rewind(step)
    generator = _generator(step.device)
    spare = generator.clone_state()  # a failed capture leaves the generator in capture mode
    stream = torch.cuda.current_stream(step.device)
    try:
        replay = _capture(step, example)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # an operation that cannot be captured on this GPU
        torch.cuda.set_stream(stream)  # a failed capture may leave its own stream current
        torch.cuda.synchronize(step.device)
        generator.graphsafe_set_state(spare)
        before.rewind(step)
        return step, f"eager: the step could not be captured: {first_line(error)}"
    before.rewind(step)
    return replay, "captured"


def _generator(device: torch.device) -> torch.Generator:
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def _capture(step: TrainingStep, example: tuple[Any, ...]) -> StepCall:
    device = step.device
    held = tuple(x.clone() if isinstance(x, torch.Tensor) else x for x in example)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(N_WARM_UP):
            step(*held)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(*held)

    def replay(*inputs: Any) -> None:
        if len(inputs[0]) != len(held[0]):
            step(*inputs)
            return
        for place, value in zip(held, inputs, strict=True):
            if isinstance(place, torch.Tensor):
                place.copy_(value, non_blocking=True)
        graph.replay()

    return replay


class _Rewind:
    """A copy of a step's state. It is restored into the same tensors, which a graph refers to."""

    def __init__(self, step: TrainingStep) -> None:
        self.modules = copy.deepcopy([m.state_dict() for m in _modules(step)])
        self.optimisers = [copy.deepcopy(o.state_dict()["state"]) for o in _optimisers(step)]
        self.sums = step.sums.clone()
        self.rng = torch.cuda.get_rng_state(step.device) if step.device.type == "cuda" else None

    @torch.no_grad()
    def rewind(self, step: TrainingStep) -> None:
        for module, saved in zip(_modules(step), self.modules, strict=True):
            module.load_state_dict(saved)
        for optimiser, states in zip(_optimisers(step), self.optimisers, strict=True):
            for index, now in enumerate(optimiser.state.values()):
                before = states.get(index, {})
                for name, tensor in now.items():
                    # An optimiser that had not stepped before starts from zeros.
                    tensor.copy_(before[name]) if name in before else tensor.zero_()
        step.sums.copy_(self.sums)
        if self.rng is not None:
            torch.cuda.set_rng_state(self.rng, step.device)


def _modules(step: TrainingStep) -> list[nn.Module]:
    return [part for part in step.parts().values() if isinstance(part, nn.Module)]


def _optimisers(step: TrainingStep) -> list[Optimizer]:
    return [part for part in step.parts().values() if isinstance(part, Optimizer)]
