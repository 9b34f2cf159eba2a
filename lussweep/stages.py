"""One function per stage: from a planned step and its inputs to files in a folder.

This is where the pure functions meet the disk. Each stage re-checks the patients that it was
really given, writes into `out`, and returns a summary for the step's record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits

from lussweep import tables
from lussweep.classifier.search_space import TrialConfig, search_list
from lussweep.classifier.train import THRESHOLD, EpochRow, better, predict, train_classifier
from lussweep.data.cohort import count_label, draw_cohort, limit_val, of_class, patient_ids
from lussweep.data.dataset import make_train_set
from lussweep.data.frames import INDEX, load_masks, load_pixels, read_index, write_shard
from lussweep.errors import InputError, LeakageError
from lussweep.gan.sample import load_snapshot, sample, save_snapshot
from lussweep.gan.select import select_epoch
from lussweep.gan.train import EpochLosses, train_gan
from lussweep.metrics.auroc import clustered_auroc
from lussweep.metrics.classification import at_threshold
from lussweep.metrics.confidence import mean_confidence
from lussweep.metrics.features import features
from lussweep.metrics.kmmd import kmmd
from lussweep.metrics.nearest import one_nn
from lussweep.models.dcgan import Generator
from lussweep.models.vgg import ReducedVGG
from lussweep.plan import SYNTHETIC_ROLES, Step
from lussweep.provenance import circumstances, peak_memory_bytes
from lussweep.spec import (
    CLASSES,
    ClassifierSpec,
    CohortSpec,
    EvaluateSpec,
    GanSpec,
    PreprocessSpec,
    Recipe,
    ScoreSpec,
    SearchSpec,
    SelectSpec,
    SynthSpec,
    ValSpec,
    Video,
)
from lussweep.store import ArtifactStore

COHORT = "cohort.parquet"
LOSSES = "losses.parquet"
SCORES = "scores.parquet"
TRIALS = "trials.parquet"
FRAME_SCORES = "frame_scores.parquet"
SYNTHETIC = "synthetic.npy"
WEIGHTS = "best.safetensors"


@dataclass(frozen=True)
class Context:
    """Circumstance: where things lie and what to compute on. Enters no key."""

    store: ArtifactStore
    device: str = "auto"
    video_paths: Mapping[str, str] = field(default_factory=dict)
    """File by sha256."""
    weights: Path | None = None
    """ImageNet ResNet-34 in torchvision's format; None downloads it."""

    def torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


Summary = dict[str, Any]
Stage = Callable[[Step, Context, Path], Summary]


def execute(step: Step, context: Context, stage: Stage | None = None) -> None:
    """Run one step and commit its artifact; does nothing if the artifact exists."""
    if context.store.has(step.ref):
        return
    n_threads = step.spec.get("n_threads", 1)
    torch.set_num_threads(n_threads)
    started, clock = datetime.now(UTC), time.perf_counter()
    record: dict[str, Any] = {
        "stage": step.stage,
        "version": step.version,
        "key": step.key,
        "name": step.name,
        "spec": step.spec,
        "inputs": dict(step.inputs),
        "circumstances": circumstances(),
    }
    limits = threadpool_limits(n_threads)  # numpy's BLAS; torch has its own
    with limits, context.store.commit(step.ref, record) as out:
        record["summary"] = (stage or STAGES[step.stage])(step, context, out)
        record["circumstances"] = {
            **record["circumstances"],
            "device": str(context.torch_device()),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "peak_memory_bytes": peak_memory_bytes(),
        }


# --- data ---------------------------------------------------------------------------------


def run_shard(step: Step, context: Context, out: Path) -> Summary:
    """One patient's videos to pixels, sector masks and index rows."""
    patient = step.spec["patient_id"]
    videos = [
        Video(patient_id=patient, split="train", **described)  # the split is the ingest step's
        for described in step.spec["videos"]
    ]
    pixels, masks, rows = [], [], []
    for mask_row, video in enumerate(videos):
        frames, mask = _video_frames(video, step, context)
        _check_annotations(video, len(frames), step)
        first = sum(len(p) for p in pixels)
        rows += [
            {
                "patient_id": patient,
                "video_id": video.video_id,
                "frame": i,
                "label": _frame_label(video, i, step),
                "patient_class": max(v.label for v in videos),
                "shard": step.ref,
                "row": first + i,
                "mask_row": mask_row,
            }
            for i in range(len(frames))
        ]
        pixels.append(frames)
        masks.append(mask)
    write_shard(out, np.concatenate(pixels), np.stack(masks))
    tables.write(out / INDEX, rows, tables.FRAMES)
    return {"n_frames": len(rows), "n_videos": len(videos)}


def _video_frames(video: Video, step: Step, context: Context) -> tuple[np.ndarray, np.ndarray]:
    if "phantom" in step.spec:
        from lussweep.data.phantom import render_video, sector_mask

        phantom = step.spec["phantom"]
        mask = sector_mask(video.patient_id, phantom["image_size"], phantom["seed"])
        return render_video(video, **phantom), mask
    from lussweep.data.decode import read_frames
    from lussweep.data.preprocess import preprocess

    spec = PreprocessSpec.model_validate(step.spec["preprocess"])
    path = context.video_paths.get(video.sha256)
    if path is None:
        raise InputError(f"video {video.video_id} of patient {video.patient_id} is not at hand")
    try:
        return preprocess(read_frames(Path(path), spec.frame_stride), spec)
    except InputError as error:
        raise InputError(f"video {video.video_id} of patient {video.patient_id}: {error}") from None


def _frame_label(video: Video, frame: int, step: Step) -> int | None:
    """Positive frames come from positive videos; where annotated, only the annotated ones."""
    if video.label == 0 or video.annotated_frames is None:
        return video.label
    return 1 if frame * _stride(step) in video.annotated_frames else None


def _check_annotations(video: Video, n_frames: int, step: Step) -> None:
    last = max(video.annotated_frames or (0,))
    if last >= n_frames * _stride(step):
        raise InputError(
            f"video {video.video_id} of patient {video.patient_id}: frame {last} is annotated, "
            f"the video ends before it: count frames from 0"
        )


def _stride(step: Step) -> int:
    stride: int = step.spec.get("preprocess", {}).get("frame_stride", 1)
    return stride


def run_ingest(step: Step, context: Context, out: Path) -> Summary:
    """The frame index of one split."""
    indices = [read_index(context.store.open(ref)) for _, ref in sorted(step.inputs.items())]
    index = tables.with_columns(
        tables.concat(indices, tables.FRAMES), {"split": step.spec["split"]}, tables.FRAMES
    )
    tables.write(out / INDEX, index, tables.FRAMES)
    return {"n_patients": len(indices), "n_frames": len(index)}


def run_cohort(step: Step, context: Context, out: Path) -> Summary:
    train = _split(step, context, "train")
    n_patients = step.spec["n_patients"]
    spec = CohortSpec.model_validate(step.spec["cohort"])
    drawn = draw_cohort(train, n_patients, spec, step.spec["seed"])
    tables.write(out / COHORT, drawn, tables.FRAMES)
    return {
        "n_patients": len(patient_ids(drawn)),
        "n_pos_frames": count_label(drawn, 1),
        "n_neg_frames": count_label(drawn, 0),
    }


# --- generation ---------------------------------------------------------------------------


def run_gan(step: Step, context: Context, out: Path) -> Summary:
    """Train in this process; several workers are a matter of the cluster backend."""
    assert step.spec["gan"]["n_workers"] == 1, "a gang needs the cluster backend"
    return train_gan_into(step, context, out)


def train_gan_into(
    step: Step, context: Context, out: Path, rank: int = 0, world_size: int = 1
) -> Summary:
    """Train one rank; rank 0 writes snapshots and losses."""
    spec = GanSpec.model_validate(step.spec["gan"])
    frames = load_pixels(context.store, _cohort_class(step, context))
    rows: list[EpochLosses] = []

    def on_epoch(row: EpochLosses, generator: Generator, snapshot_due: bool) -> None:
        rows.append(row)
        if snapshot_due and rank == 0:
            save_snapshot(generator, out, row.epoch)

    train_gan(
        frames,
        spec,
        seed=step.spec["seed"],
        device=context.torch_device(),
        on_epoch=on_epoch,
        rank=rank,
        world_size=world_size,
    )
    if rank == 0:
        tables.write(out / LOSSES, [asdict(row) for row in rows], tables.GAN_LOSSES)
    return {"n_frames": len(frames), "n_images_seen": rows[-1].n_images_seen}


def run_score(step: Step, context: Context, out: Path) -> Summary:
    """Every snapshot of one GAN against real frames of its own cohort."""
    spec = ScoreSpec.model_validate(step.spec["score"])
    label, device, seed = step.spec["class"], context.torch_device(), step.spec["seed"]
    cohort = _cohort_class(step, context)
    n_images = min(spec.n_images, len(cohort))
    chosen = np.random.default_rng(seed).permutation(len(cohort))[:n_images]
    real = load_pixels(context.store, cohort.take(sorted(chosen)))
    detector = load_classifier(step.inputs["detector"], context)
    embedders: dict[str, torch.nn.Module] = {"detector": detector}
    if "imagenet" in spec.embedders:
        embedders["imagenet"] = _imagenet(context).to(device)
    gan_spec = GanSpec.model_validate(context.store.record(step.inputs["gan"])["spec"]["gan"])

    def embed(images: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        found = {}
        for name in dict.fromkeys((*spec.embedders, "detector")):
            spaces = features(images, embedders[name], batch_size=spec.batch_size, device=device)
            found |= {
                ("none" if space == "pixel" else name, space): values
                for space, values in spaces.items()
            }
        return found

    real_features = embed(real)
    rows: list[dict[str, Any]] = []
    for epoch in gan_spec.snapshot_epochs():
        folder = context.store.open(step.inputs["gan"])
        generator = load_snapshot(folder, epoch, gan_spec, real.shape[1], device)
        fake = sample(
            generator,
            n_images,
            batchnorm=spec.batchnorm,
            batch_size=spec.batch_size,
            seed=seed,
            device=device,
        )
        fake_features = embed(fake)
        for (embedder, space), values in fake_features.items():
            if embedder not in (*spec.embedders, "none"):
                continue
            nearest = one_nn(real_features[embedder, space], values)
            for metric, value in {
                "kmmd": kmmd(real_features[embedder, space], values),
                "one_nn": nearest.accuracy,
                "one_nn_real": nearest.real_accuracy,
                "one_nn_fake": nearest.fake_accuracy,
            }.items():
                rows.append(_score_row(label, epoch, metric, embedder, space, value, n_images))
        if label == "pos":
            value = mean_confidence(fake_features["detector", "softmax"][:, 1])
            rows.append(
                _score_row(label, epoch, "confidence", "detector", "softmax", value, n_images)
            )
    tables.write(out / SCORES, rows, tables.GAN_SCORES)
    return {"n_images": n_images, "embedders": list(spec.embedders)}


def _score_row(
    label: str, epoch: int, metric: str, embedder: str, space: str, value: float, n_images: int
) -> dict[str, Any]:
    return {
        "class": label,
        "epoch": epoch,
        "metric": metric,
        "embedder": embedder,
        "space": space,
        "value": float(value),
        "n_images": n_images,
        "saw_all_train_patients": embedder == "detector",
    }


def run_synth(step: Step, context: Context, out: Path) -> Summary:
    """Sample the selected snapshot; each frame gets the sector mask of a real one."""
    spec = SynthSpec.model_validate(step.spec["synth"])
    record = context.store.record(step.inputs["gan"])
    gan_spec = GanSpec.model_validate(record["spec"]["gan"])
    scores = (
        tables.read(context.store.open(step.inputs["score"]) / SCORES, tables.GAN_SCORES)
        if "score" in step.inputs
        else tables.GAN_SCORES.empty_table()
    )
    select = SelectSpec.model_validate(step.spec["select"])
    epoch = select_epoch(select, gan_spec.n_epochs, scores.to_pylist())
    masks = load_masks(context.store, _cohort_class(step, context))
    device = context.torch_device()
    folder = context.store.open(step.inputs["gan"])
    generator = load_snapshot(folder, epoch, gan_spec, masks.shape[1], device)
    frames = sample(
        generator,
        spec.n_frames(len(masks)),
        batchnorm=spec.batchnorm,
        batch_size=spec.batch_size,
        seed=step.spec["seed"],
        device=device,
    )
    frames *= masks[np.arange(len(frames)) % len(masks)]
    np.save(out / SYNTHETIC, frames)
    return {"epoch": epoch, "n_frames": len(frames)}


# --- classification -----------------------------------------------------------------------


def run_trial(step: Step, context: Context, out: Path) -> Summary:
    """One configuration of the search list, trained on a recipe's frames."""
    search = SearchSpec.model_validate(step.spec["search"])
    config = search_list(search, step.spec["search_seed"])[-1]
    recipe = Recipe.model_validate(step.spec["recipe"])
    cohort = _cohort(step, context)
    val = limit_val(
        _split(step, context, "val"),
        ValSpec.model_validate(step.spec["val"]),
        step.spec["val_seed"],
    )
    refuse_overlap("training and validation", patient_ids(cohort), patient_ids(val))
    by_class = {label: of_class(cohort, label) for label in CLASSES}
    train_set = make_train_set(
        recipe,
        real={label: load_pixels(context.store, rows) for label, rows in by_class.items()},
        masks={label: load_masks(context.store, rows) for label, rows in by_class.items()},
        synthetic={
            label: np.load(context.store.open(step.inputs[role]) / SYNTHETIC)
            for label, role in SYNTHETIC_ROLES.items()
            if role in step.inputs
        },
        seed=step.spec["search_seed"],
    )
    val_images = load_pixels(context.store, val)
    trained = train_classifier(
        train_set,
        val_images,
        val["label"].to_numpy(),
        config,
        ClassifierSpec.model_validate(step.spec["classifier"]),
        seed=step.spec["seed"],
        device=context.torch_device(),
    )
    save_file(dict(trained.weights), out / WEIGHTS)
    rows = [{**asdict(row), **asdict(config), "trial": step.spec["trial"]} for row in trained.rows]
    tables.write(out / TRIALS, rows, tables.TRIALS)
    return {
        "trial": step.spec["trial"],
        "config": asdict(config),
        "best": asdict(trained.best),
        "image_size": val_images.shape[1],
        "images_per_epoch": trained.images_per_epoch,
        "counts": train_set.counts,
        "patients": {"train": patient_ids(cohort), "val": patient_ids(val)},
    }


def run_search(step: Step, context: Context, out: Path) -> Summary:
    """The best trial by validation: most correct; ties by lower loss, then by lower trial."""
    folders = [context.store.open(ref) for _, ref in sorted(step.inputs.items())]
    summaries = [context.store.record(ref)["summary"] for _, ref in sorted(step.inputs.items())]
    best = 0
    for i, summary in enumerate(summaries):
        if better(EpochRow(**summary["best"]), EpochRow(**summaries[best]["best"])):
            best = i
    chosen = summaries[best]
    rows = tables.concat(
        [tables.read(folder / TRIALS, tables.TRIALS) for folder in folders], tables.TRIALS
    )
    selected = pc.and_(
        pc.equal(rows["trial"], chosen["trial"]), pc.equal(rows["epoch"], chosen["best"]["epoch"])
    )
    position = rows.column_names.index("selected")
    rows = rows.set_column(position, "selected", selected)
    tables.write(out / TRIALS, rows, tables.TRIALS)
    save_file(load_file(folders[best] / WEIGHTS), out / WEIGHTS)
    return chosen


def run_evaluate(step: Step, context: Context, out: Path) -> Summary:
    """Scores of every usable holdout frame, and the statistics of the cell."""
    chosen = context.store.record(step.inputs["search"])["summary"]
    holdout = _split(step, context, "holdout")
    holdout = holdout.filter(pc.is_valid(holdout["label"]))
    for role, patients in chosen["patients"].items():
        refuse_overlap(f"{role} and holdout", patients, patient_ids(holdout))
    model = load_classifier(step.inputs["search"], context)
    images = load_pixels(context.store, holdout)
    score = predict(model, images, step.spec["batch_size"], context.torch_device())
    tables.write(
        out / FRAME_SCORES,
        tables.with_columns(
            holdout.append_column("score", pa.array(score)), {}, tables.FRAME_SCORES
        ),
        tables.FRAME_SCORES,
    )
    labels = holdout["label"].to_numpy()
    spec = EvaluateSpec.model_validate(step.spec["evaluate"])
    interval = clustered_auroc(
        labels,
        score,
        np.array(holdout["patient_id"].to_pylist()),
        n_resamples=spec.n_resamples,
        confidence=spec.confidence,
        seed=step.spec["seed"],
    )
    confusion = at_threshold(labels, score, THRESHOLD)
    return {
        "auroc": interval.auroc,
        "auroc_low": interval.low,
        "auroc_high": interval.high,
        "confidence": spec.confidence,
        "n_resamples": interval.n_resamples - interval.n_one_class,
        "accuracy": confusion.accuracy,
        "sensitivity": confusion.sensitivity,
        "specificity": confusion.specificity,
        "f1": confusion.f1,
        "n_holdout_patients": len(patient_ids(holdout)),
        "n_holdout_frames": len(holdout),
    }


STAGES: dict[str, Stage] = {
    "shard": run_shard,
    "ingest": run_ingest,
    "cohort": run_cohort,
    "gan": run_gan,
    "score": run_score,
    "synth": run_synth,
    "trial": run_trial,
    "search": run_search,
    "evaluate": run_evaluate,
}


# --- what several stages need -------------------------------------------------------------


def load_classifier(ref: str, context: Context) -> ReducedVGG:
    """The best classifier of a search, on the context's device, in evaluation mode."""
    summary = context.store.record(ref)["summary"]
    config = TrialConfig(**summary["config"])
    with torch.random.fork_rng(devices=[]):
        model = ReducedVGG(summary["image_size"], config.channels, config.dropout)
    model.load_state_dict(load_file(context.store.open(ref) / WEIGHTS))
    return model.to(context.torch_device(), memory_format=torch.channels_last).eval()


def refuse_overlap(where: str, first: Iterable[str], second: Iterable[str]) -> None:
    """Raises LeakageError that names the patients who are on both sides."""
    both = sorted(set(first) & set(second))
    if both:
        raise LeakageError(f"patients in both {where}: {', '.join(both)}")


def _split(step: Step, context: Context, split: str) -> pa.Table:
    """A split's index, re-checked to hold that split alone."""
    index = read_index(context.store.open(step.inputs[split]))
    _only_split(index, split)
    return index


def _cohort(step: Step, context: Context) -> pa.Table:
    """The cohort's frames, re-checked against the train split."""
    cohort = tables.read(context.store.open(step.inputs["cohort"]) / COHORT, tables.FRAMES)
    _only_split(cohort, "train")
    strangers = sorted(set(patient_ids(cohort)) - set(patient_ids(_split(step, context, "train"))))
    if strangers:
        raise LeakageError(f"patients outside the train split: {', '.join(strangers)}")
    return cohort


def _cohort_class(step: Step, context: Context) -> pa.Table:
    return of_class(_cohort(step, context), step.spec["class"])


def _only_split(frames: pa.Table, split: str) -> None:
    strangers = patient_ids(frames.filter(pc.not_equal(frames["split"], split)))
    if strangers:
        raise LeakageError(f"patients of another split than {split}: {', '.join(strangers)}")


def _imagenet(context: Context) -> torch.nn.Module:
    from lussweep.models.resnet import load_resnet34

    return load_resnet34(context.weights)
