"""What an experiment is: frozen, validated specs, read from YAML and written back to it.

A field here changes results unless its docstring says that it does not. Everything that only
says where or how fast (paths, hosts, GPU counts) is left to the command line.
"""

from lussweep.spec.analysis import AnalysisSpec
from lussweep.spec.base import CLASSES, GENERATED, SPLITS, Spec
from lussweep.spec.classification import (
    AugmentSpec,
    ClassifierSpec,
    DetectorSpec,
    SearchSpec,
)
from lussweep.spec.data import (
    CohortSpec,
    DataSpec,
    Manifest,
    PhantomSpec,
    PreprocessSpec,
    SplitSpec,
    ValSpec,
    Video,
)
from lussweep.spec.generation import (
    GanSpec,
    HealthSpec,
    RetryPolicy,
    RetrySpec,
    ScoreSpec,
    SelectSpec,
    SynthSpec,
)
from lussweep.spec.reading import dump_study, load_study, parse, read_text
from lussweep.spec.release import ExternalSpec, MemorisationSpec, ReleaseGateSpec
from lussweep.spec.study import PAPER_VARIANTS, ComputeSpec, GridSpec, Recipe, StudySpec
from lussweep.spec.words import nearest

__all__ = [
    "CLASSES",
    "GENERATED",
    "PAPER_VARIANTS",
    "SPLITS",
    "AnalysisSpec",
    "AugmentSpec",
    "ClassifierSpec",
    "CohortSpec",
    "ComputeSpec",
    "DataSpec",
    "DetectorSpec",
    "ExternalSpec",
    "GanSpec",
    "GridSpec",
    "HealthSpec",
    "Manifest",
    "MemorisationSpec",
    "PhantomSpec",
    "PreprocessSpec",
    "Recipe",
    "ReleaseGateSpec",
    "RetryPolicy",
    "RetrySpec",
    "ScoreSpec",
    "SearchSpec",
    "SelectSpec",
    "Spec",
    "SplitSpec",
    "StudySpec",
    "SynthSpec",
    "ValSpec",
    "Video",
    "dump_study",
    "load_study",
    "nearest",
    "parse",
    "read_text",
]
