"""Networks trained data-parallel by Spark's TorchDistributor: every process sees its share of each batch, gradients are averaged.

1. The past goes to Parquet in its scratch folder. 2. Each process reads it; after each epoch what is held out says whether to go
on, and the first process leaves a checkpoint, from which a run that was killed goes on. 3. The best epoch's weights, calibrated
on what is held out, are the model: other than with trees, nothing is fitted again on all of the past. Needs the extra `sequence`.
"""

import io
import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from pyarrow import fs
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import functions as F
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from smallcaps.config.settings import ModelSettings
from smallcaps.errors import BadData
from smallcaps.lake.files import open_filesystem
from smallcaps.models.event_model import Calibrated, Floats, calibrated
from smallcaps.models.event_sequence import CHANNELS
from smallcaps.models.network import Head, Network, standard
from smallcaps.models.networks import NETWORKS
from smallcaps.models.past import FIT, HELD_OUT, Past, row_weights
from smallcaps.spark import workers_of

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Job:
    """What each process is told. `place`: the folder with fit/ and held_out/, which all reach."""

    kind: str
    options: dict[str, Any]
    targets: tuple[str, ...]
    class_weights: dict[str, tuple[float, float]]
    place: str
    seed: int
    use_gpu: bool


def fit(kind: str, past: Past, settings: ModelSettings) -> dict[str, Calibrated]:
    """A network of NETWORKS, with an output for each target."""
    options: dict[str, Any] = dict(getattr(settings, kind))
    for part in (FIT, HELD_OUT):
        rows = past.rows.where(F.col("part") == part).select("event_id", "uniqueness", *past.targets, "sequence")
        rows.write.mode("overwrite").parquet(f"{past.scratch}/{part}")
    spark = past.rows.sparkSession
    # Each process has a core: torchrun would say so at length.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    is_local = str(spark.sparkContext.master).startswith("local")
    gpus = spark.sparkContext.resources.get("gpu") if is_local else None
    use_gpu = gpus is not None or (
        not is_local and "spark.task.resource.gpu.amount" in dict(spark.sparkContext.getConf().getAll())
    )
    workers = len(gpus.addresses) if gpus else workers_of(spark, settings.workers, past.events // int(options["batch"]))
    job = Job(kind, options, past.targets, past.class_weights, past.scratch, settings.seed, use_gpu)
    distributor = TorchDistributor(num_processes=workers, local_mode=is_local, use_gpu=use_gpu)
    distributor.logger.setLevel(logging.WARNING)
    network = distributor.run(train_in_process, job)
    assert isinstance(network, Network)
    if not network.weights:
        raise BadData(f"{kind} came to no loss that is a number: lower its learning_rate in the settings.")
    sequences, happened, _ = _read(past.scratch, HELD_OUT, past.targets)
    margins = {target: Head(network, place) for place, target in enumerate(past.targets)}
    found = {
        target: calibrated(head, sequences, happened[:, place]) for place, (target, head) in enumerate(margins.items())
    }
    filesystem, place = open_filesystem(past.scratch)
    filesystem.delete_dir(place)
    return found


def _read(place: str, part: str, targets: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    """Sequences (events × (steps × channels)), targets (events × targets) and uniqueness, in order of event_id."""
    filesystem, folder = open_filesystem(f"{place}/{part}")
    table = pq.read_table(folder, filesystem=filesystem).sort_by("event_id")
    sequences = table["sequence"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    happened = np.column_stack([table[target].to_numpy() for target in targets]).astype(np.float64)
    return sequences.astype(np.float64).reshape(len(table), -1), happened, table["uniqueness"].to_numpy()


def train_in_process(job: Job) -> Network:
    """One process of the training; all return the same."""
    torch.manual_seed(job.seed)
    torch.set_num_threads(1)
    dist.init_process_group("nccl" if job.use_gpu else "gloo")
    try:
        return _train(job)
    finally:
        dist.destroy_process_group()


def _train(job: Job) -> Network:
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", rank) if job.use_gpu else torch.device("cpu")
    past, held_out = _read(job.place, FIT, job.targets), _read(job.place, HELD_OUT, job.targets)
    channels = len(CHANNELS)
    steps = past[0].shape[1] // channels
    shaped = past[0].reshape(-1, channels)
    mean = np.nan_to_num(np.nanmean(shaped, axis=0))
    deviation = np.nanstd(shaped, axis=0)
    deviation = np.where((deviation > 0) & np.isfinite(deviation), deviation, 1.0)

    def tensors(part: tuple[Floats, Floats, Floats]) -> tuple[Tensor, Tensor, Tensor]:
        weight = np.column_stack(
            [
                row_weights(part[2], came, job.class_weights[target])
                for target, came in zip(job.targets, part[1].T, strict=True)
            ]
        )
        values = (standard(part[0], mean, deviation, steps), part[1], weight)
        inputs, happened, counted = (torch.from_numpy(value).float().to(device) for value in values)
        return inputs, happened, counted

    module = NETWORKS[job.kind](channels, steps, len(job.targets), job.options).to(device)
    weights = _descend(job, module, tensors(past), tensors(held_out), rank, world)
    return Network(job.kind, job.options, job.targets, weights, mean, deviation, steps)


def _descend(
    job: Job,
    module: nn.Module,
    past: tuple[Tensor, Tensor, Tensor],
    held_out: tuple[Tensor, Tensor, Tensor],
    rank: int,
    world: int,
) -> dict[str, Any]:
    """The weights of the epoch with the least loss on what is held out."""
    parallel = DistributedDataParallel(module)
    optimiser = torch.optim.AdamW(
        parallel.parameters(), lr=float(job.options["learning_rate"]), weight_decay=float(job.options["weight_decay"])
    )
    epoch, best_loss, best_epoch, best = _resume(job.place, module, optimiser)
    # Of each batch, and of the whole, every process has as many events.
    size, count = max(1, int(job.options["batch"]) // world) * world, len(past[0]) // world * world
    while epoch < int(job.options["epochs"]) and epoch - best_epoch < int(job.options["patience"]):
        parallel.train()
        # Each epoch's chance is its own, so that it is the same after a resumption.
        torch.manual_seed(job.seed * 1_000 + epoch)
        order = torch.randperm(len(past[0]))[:count]
        for batch in order.split(size):
            mine = batch[rank::world]
            optimiser.zero_grad()
            _loss(parallel(past[0][mine]), past[1][mine], past[2][mine]).mean().backward()
            nn.utils.clip_grad_norm_(parallel.parameters(), 1.0)
            optimiser.step()
        parallel.eval()
        with torch.no_grad():
            lost = _loss(module(held_out[0][rank::world]), held_out[1][rank::world], held_out[2][rank::world]).sum()
        dist.all_reduce(lost)
        epoch += 1
        if float(lost) < best_loss:
            best_loss, best_epoch = float(lost), epoch
            best = {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}
        if rank == 0:
            state = {"module": module.state_dict(), "optimiser": optimiser.state_dict()}
            _save(job.place, state | {"epoch": epoch, "loss": best_loss, "best_epoch": best_epoch, "best": best})
        dist.barrier()
    return best


def _loss(margins: Tensor, happened: Tensor, weight: Tensor) -> Tensor:
    """Weighted log loss of each event, over targets."""
    return nn.functional.binary_cross_entropy_with_logits(margins, happened, weight, reduction="none").mean(dim=1)


def _resume(place: str, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float, int, dict[str, Any]]:
    """Epochs done, least loss, its epoch and its weights, as the checkpoint has them; from the start where there is none."""
    filesystem, folder = open_filesystem(place)
    path = f"{folder}/{CHECKPOINT}"
    if filesystem.get_file_info(path).type == fs.FileType.NotFound:
        return 0, float("inf"), 0, {}
    with filesystem.open_input_stream(path) as stream:
        # Our own file: it holds numpy arrays beside tensors.
        state = torch.load(io.BytesIO(stream.read()), weights_only=False)
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    return state["epoch"], state["loss"], state["best_epoch"], state["best"]


def _save(place: str, state: dict[str, Any]) -> None:
    filesystem, folder = open_filesystem(place)
    held = io.BytesIO()
    torch.save(state, held)
    with filesystem.open_output_stream(f"{folder}/{CHECKPOINT}.part") as stream:
        stream.write(held.getbuffer())
    filesystem.move(f"{folder}/{CHECKPOINT}.part", f"{folder}/{CHECKPOINT}")
