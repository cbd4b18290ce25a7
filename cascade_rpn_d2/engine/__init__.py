"""Training and evaluation from a config."""

from .evaluation import evaluate, evaluate_checkpoint
from .launch import launch
from .setup import setup_config
from .train_loop import train
from .trainer import Trainer, TrainingDiverged

__all__ = [
    "Trainer",
    "TrainingDiverged",
    "evaluate",
    "evaluate_checkpoint",
    "launch",
    "setup_config",
    "train",
]
