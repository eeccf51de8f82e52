"""Training on packed batches, with transformers' Trainer."""

from tersely.training.distillation import distillation_loss
from tersely.training.settings import TrainingSettings
from tersely.training.trainer import TerselyTrainer, TrainingDocuments

__all__ = ["TerselyTrainer", "TrainingDocuments", "TrainingSettings", "distillation_loss"]
