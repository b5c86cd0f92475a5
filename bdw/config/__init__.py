"""The settings of a run: one frozen dataclass a component, and presets."""

from __future__ import annotations

from bdw.config import photo_presets, presets
from bdw.config.budget import BudgetConfig
from bdw.config.data import DataConfig
from bdw.config.encoder import EncoderConfig
from bdw.config.evaluation import EvaluationConfig
from bdw.config.gradient import GradientConfig
from bdw.config.hardware import HardwareConfig, Precision
from bdw.config.meta import MetaConfig
from bdw.config.optimiser import OptimiserConfig
from bdw.config.output import OutputConfig
from bdw.config.pretext import PretextConfig
from bdw.config.removed import of_today
from bdw.config.run import RunConfig, run_fields
from bdw.config.schedule import ScheduleConfig
from bdw.config.selector import SelectorConfig
from bdw.config.weighter import WeighterConfig
from bdw.config.workers import WorkersConfig

__all__ = [
    "BudgetConfig",
    "DataConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "GradientConfig",
    "HardwareConfig",
    "MetaConfig",
    "OptimiserConfig",
    "OutputConfig",
    "Precision",
    "PretextConfig",
    "RunConfig",
    "ScheduleConfig",
    "SelectorConfig",
    "WeighterConfig",
    "WorkersConfig",
    "of_today",
    "photo_presets",
    "presets",
    "run_fields",
]
