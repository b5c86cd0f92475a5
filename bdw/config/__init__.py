"""The settings of a run: one frozen dataclass a component, and presets."""

from __future__ import annotations

from bdw.config.run import (
    LAST_WITH_REMOVED,
    REMOVED,
    YEAR,
    DataConfig,
    EvaluationConfig,
    MetaConfig,
    ModelConfig,
    OptimiserConfig,
    OutputConfig,
    Precision,
    RunConfig,
    WeighterConfig,
    WorkersConfig,
    field_owners,
    of_today,
)

__all__ = [
    "LAST_WITH_REMOVED",
    "REMOVED",
    "YEAR",
    "DataConfig",
    "EvaluationConfig",
    "MetaConfig",
    "ModelConfig",
    "OptimiserConfig",
    "OutputConfig",
    "Precision",
    "RunConfig",
    "WeighterConfig",
    "WorkersConfig",
    "field_owners",
    "of_today",
]
