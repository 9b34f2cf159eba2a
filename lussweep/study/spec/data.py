"""Specs of patients, videos, preprocessing, cohorts and validation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from lussweep.study.spec.base import Count, ImageSize, Spec, SplitName

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels of the video, without x1 and y1 themselves."""


class Video(Spec):
    """One cine loop of one patient. `path` changes no result and enters no key."""

    patient_id: str
    video_id: str
    label: Literal[0, 1]
    split: SplitName
    sha256: str
    path: str | None = None
    annotated_frames: tuple[NonNegativeInt, ...] | None = None
    """Frames (from 0) that an annotator marked as positive. None: the video is not annotated."""
    negative_frames: tuple[NonNegativeInt, ...] = ()
    """Frames that an annotator marked as negative. They are counted, and change no result."""
    crop: Box | None = None
    """The video's own crop. None: that of the preprocessing."""
    mask_boxes: tuple[Box, ...] = ()
    """Boxes to blank in this video, beside those of the preprocessing."""
    device: str = ""
    """The device that made the video. It changes no result."""
    read_by: dict[str, str] = {}
    """Package and version of the plugin whose reader the file needs; empty for lussweep's own."""


class Manifest(Spec):
    """Every video of a study. Each patient is in exactly one split."""

    videos: tuple[Video, ...]

    def patients(self, split: str) -> dict[str, list[Video]]:
        """The videos of each patient of a split; patients and videos in sorted order."""
        videos_of: dict[str, list[Video]] = {}
        for video in sorted(self.videos, key=lambda v: (v.patient_id, v.video_id)):
            if video.split == split:
                videos_of.setdefault(video.patient_id, []).append(video)
        return videos_of


class PhantomSpec(Spec):
    """The built-in simulator of convex-probe lung ultrasound. Patient counts are per class."""

    version: ClassVar[int] = 1
    train_patients: Count = 120
    """Simulated patients of each class in the train split."""
    val_patients: Count = 24
    """Simulated patients of each class in the val split."""
    holdout_patients: Count = 60
    """Simulated patients of each class in the holdout split."""
    videos_per_patient: Count = 2
    """Videos of each simulated patient."""
    frames_per_video: PositiveInt = 4
    """Frames of each simulated video."""


class SplitSpec(Spec):
    """Shares of patients, stratified by patient class. Splits in a manifest take precedence."""

    val: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The share of patients in the val split."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """The share of patients in the holdout split."""


class PreprocessSpec(Spec):
    """Preprocessing of raw videos to square grey-level frames. Boxes are (x0, y0, x1, y1) in
    pixels."""

    version: ClassVar[int] = 3
    image_size: ImageSize = 256
    """The side of a frame in pixels."""
    crop: Literal["auto", "none"] | Box = "auto"
    """`auto`: the smallest box around the sector of each video."""
    mask_boxes: tuple[Box, ...] = ()
    """Boxes to blank before the crop, for burnt-in text at fixed places."""
    mask_outside_sector: bool = True
    """Blank everything outside the sector of the video."""
    frame_stride: PositiveInt = 1
    """Keep every k-th frame of a video."""

    def of_video(self, video: Video) -> PreprocessSpec:
        """The preprocessing of one video, whose manifest may give a crop and boxes of its own."""
        boxes = (*self.mask_boxes, *video.mask_boxes)
        return self.model_copy(update={"crop": video.crop or self.crop, "mask_boxes": boxes})


class DataSpec(Spec):
    """The source of frames: the phantom, unless `--data` names a manifest or a store."""

    added: ClassVar[frozenset[str]] = frozenset({"positive"})
    phantom: PhantomSpec | None = PhantomSpec()
    """null: the experiment needs `--data`."""
    preprocess: PreprocessSpec = PreprocessSpec()
    """How videos become square grey-level frames."""
    split: SplitSpec = SplitSpec()
    """How patients are divided where the manifest names no split."""
    label: str = "label"
    """The manifest's label column."""
    positive: tuple[str, ...] = ()
    """Labels that count as positive, where labels are texts. All others are negative."""


class CohortSpec(Spec):
    """The draw of a cell's patients: n positive plus n negative patients of the train split."""

    version: ClassVar[int] = 1
    sampling: Literal["independent", "nested"] = "independent"
    """nested: a larger cohort of a replicate holds the smaller ones. independent: each is drawn
    anew."""
    negatives_from: Literal["negative_patients", "all"] = "negative_patients"
    """all: negative videos of positive patients count as negatives, too."""


class ValSpec(Spec):
    """The validation frames of every cell. None means all."""

    frames_per_video: PositiveInt | None = None
    """The most validation frames of one video. null: all."""
    n_patients: PositiveInt | Literal["cohort"] | None = None
    """Patients per class. cohort: as many as the cell's cohort has; the detector sees all."""

    def of_cohort(self, n_patients: int | None) -> ValSpec:
        """The validation of a cohort of `n_patients` a class; None stands for every patient."""
        if self.n_patients != "cohort":
            return self
        return self.model_copy(update={"n_patients": n_patients})
