"""A whole training step as one CUDA graph: at a batch of 16, launching kernels takes long."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from lussweep.gan.step import GanStep

N_WARM_UP = 3
"""Steps before the capture, in which libraries choose algorithms and allocate workspaces."""

Run = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, int], None]


def captured(step: GanStep, image_size: int) -> tuple[Run, str]:
    """`step` as a graph that is replayed, and how it runs: captured, or eager and why.

    Whole batches are replayed; an incomplete one runs as it is. The captured step leaves the
    same weights, because warming up is undone. One process on a GPU only: messages between
    workers are not captured.
    """
    if step.device.type != "cuda" or step.world_size > 1:
        return step, "eager"
    before = _Rewind(step)
    generator = _generator(step.device)
    spare = generator.clone_state()  # a failed capture leaves the generator's own state capturing
    try:
        replay = _capture(step, image_size)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # an operation that cannot be captured on this GPU
        generator.graphsafe_set_state(spare)
        before.rewind(step)
        return step, f"eager: the step could not be captured: {str(error).splitlines()[0]}"
    before.rewind(step)
    return replay, "captured"


def _generator(device: torch.device) -> torch.Generator:
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def _capture(step: GanStep, image_size: int) -> Run:
    n, device = step.spec.batch_size, step.device
    frames = torch.randint(256, (n, image_size, image_size), device=device).to(torch.uint8)
    z = torch.randn(n, step.spec.latent_size, device=device)
    label = torch.arange(n, device=device) % 2 if step.generator.n_classes else None
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(N_WARM_UP):
            step(frames, z, label, n)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(frames, z, label, n)

    def replay(
        frames_NSS: torch.Tensor,
        z_NL: torch.Tensor,
        label_N: torch.Tensor | None,
        n_batch: int,
    ) -> None:
        if len(frames_NSS) != n:
            step(frames_NSS, z_NL, label_N, n_batch)
            return
        frames.copy_(frames_NSS, non_blocking=True)
        z.copy_(z_NL, non_blocking=True)
        if label is not None and label_N is not None:
            label.copy_(label_N, non_blocking=True)
        graph.replay()

    return replay


class _Rewind:
    """The state of a step, to be written back into the very tensors that a graph refers to."""

    def __init__(self, step: GanStep) -> None:
        self.modules = copy.deepcopy([m.state_dict() for m in _modules(step)])
        self.optimisers = [copy.deepcopy(o.state_dict()["state"]) for o in _optimisers(step)]
        self.sums = step.sums.clone()
        self.rng = torch.cuda.get_rng_state(step.device) if step.device.type == "cuda" else None

    @torch.no_grad()
    def rewind(self, step: GanStep) -> None:
        for module, saved in zip(_modules(step), self.modules, strict=True):
            module.load_state_dict(saved)
        for optimiser, states in zip(_optimisers(step), self.optimisers, strict=True):
            for index, now in enumerate(optimiser.state.values()):
                before = states.get(index, {})
                for name, tensor in now.items():
                    # An optimiser that had not stepped yet begins from zeros.
                    tensor.copy_(before[name]) if name in before else tensor.zero_()
        step.sums.copy_(self.sums)
        if self.rng is not None:
            torch.cuda.set_rng_state(self.rng, step.device)


def _modules(step: GanStep) -> list[torch.nn.Module]:
    found: list[torch.nn.Module] = [step.generator, step.discriminator]
    return found if step.average is None else [*found, step.average]


def _optimisers(step: GanStep) -> list[torch.optim.Optimizer]:
    return [step.g_optimiser, step.d_optimiser]
