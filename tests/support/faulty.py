"""`lussweep` whose steps meet faults, by name or ref: python -m support.faulty
'{"GAN neg n=2 r=1": ["die", 1]}' grid EXPERIMENT --out RUN ..."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lussweep.backend.cluster.session import ray  # which sets Ray's environment first
from lussweep.cli.app import main
from lussweep.run import folder as run
from lussweep.store.artifacts import ArtifactStore
from support import faults

if __name__ == "__main__":
    given = json.loads(sys.argv.pop(1))
    ray.cloudpickle.register_pickle_by_value(faults)  # Ray's workers cannot import it

    def faulty_store(place: str, also_read: Sequence[ArtifactStore] = ()) -> faults.FaultyStore:
        return faults.FaultyStore(Path(place), given)

    run.artifact_store = faulty_store
    main()
