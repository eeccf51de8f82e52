"""What `tersely demo` runs on: an encoder and a corpus that need no hub and no data set."""

from __future__ import annotations

from tersely.demo.corpus import DemoCorpus, build_corpus
from tersely.demo.encoder import demo_encoder, demo_encoder_available
from tersely.demo.subjects import SUBJECTS

__all__ = ["SUBJECTS", "DemoCorpus", "build_corpus", "demo_encoder", "demo_encoder_available"]
