"""Training on packed batches, with transformers' Trainer.

The Trainer is loaded by those who train: this module offers the settings alone.
"""

from tersely.training.settings import TrainingSettings

__all__ = ["TrainingSettings"]
