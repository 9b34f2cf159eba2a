"""The specs of an experiment: frozen, validated, read from YAML and written back to it.

A field changes results unless its docstring says that it does not. What only says where or how
fast to compute (paths, hosts, GPU counts) belongs to the command line.
"""

from lussweep.study.spec.analysis import AnalysisSpec
from lussweep.study.spec.base import CLASS_WORDS, CLASSES, GENERATED, KNOWN, MADE, SPLITS, Spec
from lussweep.study.spec.classification import (
    AugmentSpec,
    ClassifierSpec,
    DetectorSpec,
)
from lussweep.study.spec.classifiers import CLASSIFIERS, ClassifierKind, VggSearchSpec
from lussweep.study.spec.data import (
    CohortSpec,
    DataSpec,
    Manifest,
    PhantomSpec,
    PreprocessSpec,
    SplitSpec,
    ValSpec,
    Video,
)
from lussweep.study.spec.dcgan import GanSpec, HealthSpec, RetryPolicy, RetrySpec
from lussweep.study.spec.embedders import DETECTOR, EMBEDDERS, NO_EMBEDDER, PIXEL, Embedder
from lussweep.study.spec.generation import ScoreSpec, SelectSpec, SynthSpec
from lussweep.study.spec.generators import (
    GENERATORS,
    GeneratorKind,
    GeneratorSpec,
    generator_spec,
)
from lussweep.study.spec.known_worth import BUILT_IN, KNOWN_WORTH
from lussweep.study.spec.reading import dump_study, load_study, parse, plain_values, read_text
from lussweep.study.spec.recipe import PAPER_VARIANTS, Recipe
from lussweep.study.spec.release import ExternalSpec, MemorisationSpec, ReleaseGateSpec, Verdict
from lussweep.study.spec.scores import SCORES, Goal, Score
from lussweep.study.spec.search import SearchSpec
from lussweep.study.spec.study import ComputeSpec, GridSpec, StudySpec
from lussweep.study.spec.words import nearest

__all__ = [
    "BUILT_IN",
    "CLASSES",
    "CLASSIFIERS",
    "CLASS_WORDS",
    "DETECTOR",
    "EMBEDDERS",
    "GENERATED",
    "GENERATORS",
    "KNOWN",
    "KNOWN_WORTH",
    "MADE",
    "NO_EMBEDDER",
    "PAPER_VARIANTS",
    "PIXEL",
    "SCORES",
    "SPLITS",
    "AnalysisSpec",
    "AugmentSpec",
    "ClassifierKind",
    "ClassifierSpec",
    "CohortSpec",
    "ComputeSpec",
    "DataSpec",
    "DetectorSpec",
    "Embedder",
    "ExternalSpec",
    "GanSpec",
    "GeneratorKind",
    "GeneratorSpec",
    "Goal",
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
    "Score",
    "ScoreSpec",
    "SearchSpec",
    "SelectSpec",
    "Spec",
    "SplitSpec",
    "StudySpec",
    "SynthSpec",
    "ValSpec",
    "Verdict",
    "VggSearchSpec",
    "Video",
    "dump_study",
    "generator_spec",
    "load_study",
    "nearest",
    "parse",
    "plain_values",
    "read_text",
]
