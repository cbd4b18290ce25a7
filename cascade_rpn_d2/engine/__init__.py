"""Training, evaluation and dumps of proposals from a config."""

from .evaluation import evaluate, evaluate_checkpoint
from .launch import launch
from .proposal_dump import dump_proposals
from .schedule import step_schedule
from .setup import setup_config
from .train_loop import train
from .trainer import Trainer, TrainingDiverged

__all__ = [
    "Trainer",
    "TrainingDiverged",
    "dump_proposals",
    "evaluate",
    "evaluate_checkpoint",
    "launch",
    "setup_config",
    "step_schedule",
    "train",
]
