"""Turns the request of a user into a Run and reports every error at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lussweep.errors import InputError
from lussweep.store.remote import is_url
from lussweep.study.plugins import load_plugins
from lussweep.study.spec import Manifest, PreprocessSpec, StudySpec, load_study, parse, read_text

if TYPE_CHECKING:
    from lussweep.data.external import ExternalImages
    from lussweep.run.folder import Run
    from lussweep.run.request import RunRequest
    from lussweep.stages import Context
    from lussweep.store.artifacts import ArtifactStore
    from lussweep.study.plan import ExternalKey


SET_FOR_INGEST = ("data.split", "data.label", "data.positive")
"""Values of an experiment that say how a manifest is read."""


@dataclass(frozen=True)
class Data:
    """The data of a run: the manifest, where it comes from, and the videos that were left out."""

    manifest: Manifest
    source: str
    """The place of the data, in words for the report."""
    splits: str = ""
    """The origin of the splits, in words."""
    notes: Sequence[str] = ()
    """What was recognised in the manifest, one line each."""
    is_phantom: bool = False
    preprocess: PreprocessSpec | None = None
    """The preprocessing of a frame store; None leaves the experiment's."""
    also_read: tuple[ArtifactStore, ...] = ()
    """Stores that hold the frames."""
    skipped: Sequence[tuple[str, str, str]] = ()
    """The videos that were left out: patient, video, reason."""
    external: Mapping[str, ExternalImages] = field(default_factory=dict)
    """External images, by their SHA-256."""


def open_arguments(request: RunRequest, text: str | None = None) -> tuple[Run, Data]:
    """Find the data of a request, and open and plan its run.

    `text` is the experiment's YAML, if `request.experiment` is but a name for it. Raises one
    InputError that lists every error in the arguments.
    """
    from lussweep.run.folder import open_run
    from lussweep.run.mirror import work_folder

    changes = list(request.overrides)
    if request.replicates is not None:
        changes.append(f"grid.replicates={request.replicates}")
    if request.label is not None:
        changes.append(f"data.label={request.label}")
    if request.positive:
        changes.append(f"data.positive={json.dumps(list(request.positive))}")
    if text is None:
        text = experiment_text(request.experiment)
    study = load_study(text, overrides=changes, where=request.experiment)
    problems: list[str] = []
    cells: dict[str, list[str]] = {}
    with _collected(problems):
        cells = parse_coordinates(request.only)
    with _collected(problems):
        data = _find_data(study, request)
    study = study.with_embedders(request.weights is not None)
    weights_digest = None
    with _collected(problems):
        if study.score.needs_weights:
            from lussweep.models.resnet import weights_digest as digest_of

            weights_digest = digest_of(request.weights)
    with _collected(problems):
        external = _external(study, request, cells)
    if problems:
        raise InputError(problems)
    if data.preprocess is not None:
        section = study.data.model_copy(update={"preprocess": data.preprocess})
        study = study.model_copy(update={"data": section})
    run = open_run(
        work_folder(request.out or _folder_of(study.name)),
        study,
        data.manifest,
        phantom=data.is_phantom,
        store=request.store,
        also_read=data.also_read,
        weights_digest=weights_digest,
        external=external,
        only=cells,
        reveal_ids=request.trust.reveal_ids,
    )
    return run, replace(data, external={e.sha256: e for e in external.values()})


def _folder_of(name: str) -> str:
    """The run folder of an experiment. Raises InputError if its name would lead elsewhere."""
    parts = Path(name).parts
    if not parts or ".." in parts or set(name) & set("\0\n"):
        raise InputError(f"the name {name!r} cannot name a run folder: change it, or give --out")
    return f"lussweep-runs/{name}"


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """Add the problems of an InputError to the list, instead of stopping at the first error."""
    try:
        yield
    except InputError as error:
        problems += error.problems


def _external(
    study: StudySpec, request: RunRequest, only: Mapping[str, Sequence[str]]
) -> dict[ExternalKey, ExternalImages]:
    """Describe every set of external images that the requested cells need."""
    from lussweep.data.external import describe, resolve
    from lussweep.study.plan import grid_cells

    experiment = Path(request.experiment)
    base = experiment.absolute().parent if experiment.is_file() else Path.cwd()
    allow_absolute = request.trust.allow_absolute
    size = study.data.preprocess.image_size
    external: dict[ExternalKey, ExternalImages] = {}
    problems: list[str] = []
    for cell in grid_cells(study, only):
        n, replicate = cell.n_patients, cell.replicate
        recipe = study.variants[cell.variant]
        for label in recipe.generated_classes():
            section = recipe.external
            if section is None or recipe.generator(label) != "external":
                continue
            place = (section, cell.draw, label)
            if place in external:
                continue
            paths: list[Path] = []
            for template in (section.images, section.patients):
                with _collected(problems):
                    paths.append(
                        resolve(template, base, n, replicate, label, allow_absolute=allow_absolute)
                    )
            with _collected(problems):
                if len(paths) == 2:
                    external[place] = describe(paths[0], paths[1], size)
    if problems:
        raise InputError(dict.fromkeys(problems))
    return external


def make_context(run: Run, data: Data, device: str, weights: Path | None) -> Context:
    """The context of the run's steps. Raises InputError for `cuda` if PyTorch sees no GPU."""
    from lussweep.stages import Context

    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InputError("--device cuda, but PyTorch sees no GPU here: use --device auto")
    paths = {v.sha256: v.path for v in run.manifest.videos if v.path}
    return Context(
        run.store,
        device,
        paths,
        weights.absolute() if weights else None,
        external=data.external,
        checkpoint_minutes=run.study.gan.checkpoint_minutes,
        keep_checkpoints=run.study.gan.keep_checkpoints,
        plugins=load_plugins(run.study.plugins),
    )


def experiment_text(experiment: str) -> str:
    """The text of a YAML file, or of an experiment that ships with lussweep.

    Raises InputError if there is neither.
    """
    path = Path(experiment)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_text(path)
    shipped = shipped_experiments()
    if experiment not in shipped:
        raise InputError(
            f"no experiment {experiment}: give a YAML file, or one of {', '.join(shipped)}"
        )
    return (_shipped_folder() / f"{experiment}.yaml").read_text(encoding="utf-8")


def shipped_experiments() -> list[str]:
    """The names of the experiments that ship with lussweep, sorted."""
    return sorted(path.stem for path in _shipped_folder().glob("*.yaml"))


def _shipped_folder() -> Path:
    """The folder of shipped experiments: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parent / "experiments"


def _find_data(study: StudySpec, request: RunRequest) -> Data:
    """Read the manifest or the frame store, or draw the phantom's patients. Raises InputError."""
    data = request.data
    if data is None:
        from lussweep.data.phantom import phantom_manifest

        if study.data.phantom is None:
            raise InputError(f"the experiment {study.name} needs data: give --data MANIFEST")
        if problems := [f"{name} is for a manifest: give --data, too" for name in _labels(request)]:
            raise InputError(problems)
        manifest = phantom_manifest(study.data.phantom, study.seed)
        return Data(manifest, "the built-in phantom (simulated patients)", is_phantom=True)
    if is_url(data) or Path(data).is_dir():
        return _from_store(study, data, request)
    from lussweep.data.manifest import read_manifest

    read = read_manifest(
        Path(data),
        label=study.data.label,
        positive=study.data.positive,
        annotations=request.annotations,
        split=study.data.split,
        seed=study.seed,
        skip_unreadable=request.skip_unreadable,
        skip_unlabelled=request.skip_unlabelled,
        allow_absolute=request.trust.allow_absolute,
    )
    return Data(read.manifest, data, read.splits, read.notes, skipped=read.skipped)


def _labels(request: RunRequest) -> list[str]:
    """The given options that say how the labels of a manifest are read."""
    given = {
        "--label": request.label is not None,
        "--positive": bool(request.positive),
        "--annotations": request.annotations is not None,
        "--skip-unlabelled": request.skip_unlabelled,
    }
    return [option for option, is_given in given.items() if is_given]


def _from_store(study: StudySpec, place: str, request: RunRequest) -> Data:
    """Read a frame store. Raises InputError for options that its frames do not have.

    Labels, splits and preprocessing were fixed when the store was made.
    """
    from lussweep.run.ingest import STORE_REMEDY, differences, open_store

    of_ingest = [f"--set {text}" for text in request.overrides if text.startswith(SET_FOR_INGEST)]
    problems = [
        f"{option} belongs to `lussweep ingest`, not to a store: leave it out, or ingest again"
        for option in (*_labels(request), *of_ingest)
    ]
    store = open_store(place)
    wanted = study.data.preprocess
    problems += [
        f"{place} holds frames of {difference}: {STORE_REMEDY}, or --set "
        f"data.preprocess.{name}={json.dumps(getattr(store.preprocess, name))}"
        for name, difference in differences(
            store.preprocess, wanted, {"image_size", *wanted.model_fields_set}
        ).items()
    ]
    if problems:
        raise InputError(problems)
    source = f"{place} (a store, with its preprocessing and splits)"
    return Data(
        store.manifest,
        source,
        store.splits,
        preprocess=store.preprocess,
        also_read=(store.artifacts,),
    )


def parse_coordinates(texts: Sequence[str], source: str = "--only ") -> dict[str, list[str]]:
    """Values by axis from texts such as variant=baseline,n_patients=6,15.

    `source` begins the message of the InputError that is raised for a text of another form.
    """
    values: dict[str, list[str]] = {}
    for text in texts:
        axis = ""
        for part in text.split(","):
            if "=" in part:
                axis, _, value = (piece.strip() for piece in part.partition("="))
            else:
                value = part.strip()  # it belongs to the axis before it
            if axis and value:
                values.setdefault(axis, []).append(value)
            elif part:
                raise InputError(f"{source}{part!r} is not of the form axis=value")
    return values


def preprocess_spec(
    where: str,
    crop: str,
    mask_box: Sequence[str] | None,
    mask_outside_sector: bool,
    frame_stride: int,
    image_size: int = 256,
) -> PreprocessSpec:
    """The preprocessing that options ask for. Raises InputError, which names `where`."""
    values = {
        "image_size": image_size,
        "crop": parse_box(crop) if "," in crop else crop,
        "mask_boxes": [parse_box(box) for box in mask_box or []],
        "mask_outside_sector": mask_outside_sector,
        "frame_stride": frame_stride,
    }
    return parse(PreprocessSpec, values, where)


def parse_box(text: str) -> list[int]:
    """The pixels [x0, y0, x1, y1] of a text. Raises InputError for a text of another form."""
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"the box {text!r} is not of the form x0,y0,x1,y1 in pixels")
    return [int(part) for part in parts]
