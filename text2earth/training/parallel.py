"""Several processes: how a module is spread over them, and how they agree.

Replicas (DDP) are accelerate's. Shards (FSDP2) are torch's own ``fully_shard``, which accelerate knows on GPUs alone;
the same call also shards over CPUs, so that what is tested there is what runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import nn

__all__ = ["Compiler", "Spread", "part_of", "whole"]

Compiler = Literal["no", "inductor", "aot_eager"]
"""Backend of ``torch.compile``; ``"aot_eager"`` traces without generating code, to see if a model can be traced."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a run is spread over processes.

    Args:
        accelerator: Device, precision and processes.
        shard: Whether each process holds a part of weights, gradients, averages and optimiser (FSDP2), rather than
            all of them.
        compiler: Backend of ``torch.compile``, or ``"no"``.
        checkpointing: Whether activations are computed again in the backward pass rather than kept.
    """

    accelerator: Accelerator
    shard: bool = False
    compiler: Compiler = "no"
    checkpointing: bool = False

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        found: torch.device = self.accelerator.device
        return found

    @property
    def is_sharded(self) -> bool:
        """Whether weights are in parts: asked for, and more than one process."""
        return self.shard and self.accelerator.num_processes > 1

    def settle(self, module: Any) -> None:
        """Move a module to the device and shard it; its parameters are then those to optimise."""
        if self.checkpointing:
            _checkpoint_activations(module)
        if not self.is_sharded:
            module.to(self.device, memory_format=torch.channels_last).train()
        else:  # shards are cut from memory in its usual order
            module.to(self.device, memory_format=torch.contiguous_format).train()
            _shard(module, precision=self.accelerator.mixed_precision)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return what is called in place of a settled module: compiled if asked for, replicated if there are several.

        Compiling replaces the forward call alone: the parameters and their names stay those of the module.
        """
        if self.compiler != "no":
            module.forward = torch.compile(module.forward, backend=self.compiler, dynamic=False)
        if self.is_sharded:
            return module
        wrapped: nn.Module = self.accelerator.prepare_model(module)
        return wrapped

    @contextmanager
    def gradients(self, module: Any, *, last: bool) -> Iterator[None]:
        """Exchange gradients over processes in the last micro-batch of a step only."""
        if self.is_sharded:
            module.set_requires_gradient_sync(last)
            yield
        elif last:
            yield
        else:
            with self.accelerator.no_sync(module):
                yield

    def clip(self, weights: list[nn.Parameter], *, most: float) -> torch.Tensor:
        """Scale gradients to a norm of at most ``most``; return the norm before, over all processes."""
        self.accelerator.unscale_gradients()
        return whole(torch.nn.utils.clip_grad_norm_(weights, most))

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over processes."""
        summed: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return summed

    def gathered(self, value: Any) -> list[Any]:
        """Return a plain value of each process, in order, in every process."""
        if self.accelerator.num_processes == 1:
            return [value]
        every: list[Any] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(every, value)
        return every


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in one piece; of a sharded one every process must ask."""
    found: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


def part_of(tensor: torch.Tensor, *, like: torch.Tensor) -> torch.Tensor:
    """Return the part of a whole tensor that a sharded one holds, or the whole on the other's device.

    It lies in memory as the other does: a fused optimiser walks weights and moments side by side.
    """
    moved = tensor.to(like.device)
    if not hasattr(like, "full_tensor"):
        return torch.empty_like(like, dtype=tensor.dtype).copy_(moved)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    found: torch.Tensor = distribute_tensor(moved, like.device_mesh, like.placements)
    return found


def _shard(module: nn.Module, *, precision: str) -> None:
    """Shard a module, each network and each of their blocks by itself: parts are gathered when they are used."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # Gathered parts are let go after every forward pass: the weights change in between, also outside the optimiser.
    # Inputs stay in float32: noise and times must not be rounded.
    kind = torch.bfloat16 if precision == "bf16" else None
    policy = MixedPrecisionPolicy(param_dtype=kind, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for network in module.children():
        blocks = set(getattr(network, "_no_split_modules", None) or ())
        inner = [part for part in network.modules() if type(part).__name__ in blocks]
        for part in (*reversed(inner), network):  # from the inside out
            if any(True for _ in part.parameters()):
                fully_shard(part, mp_policy=policy, reshard_after_forward=True)
    fully_shard(module, mp_policy=policy, reshard_after_forward=True)


def _checkpoint_activations(module: nn.Module) -> None:
    for network in module.children():
        # as diffusers names it, then transformers, whose older name warns in its newer versions
        for switch in (
            "enable_gradient_checkpointing",
            "activation_checkpointing_enable",
            "gradient_checkpointing_enable",
        ):
            if hasattr(network, switch):
                getattr(network, switch)()
                break
