"""Training on packed batches, with transformers' Trainer."""

from laconic.training.distillation import distillation_loss
from laconic.training.settings import TrainingSettings
from laconic.training.trainer import LaconicTrainer, TrainingDocuments

__all__ = ["LaconicTrainer", "TrainingDocuments", "TrainingSettings", "distillation_loss"]
