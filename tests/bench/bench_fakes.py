"""Contenders that do nothing but move a clock, write a log or take memory.

A module of its own, since the process that measures memory imports it too.
"""

import numpy as np

from tersely.bench import Contender

WORDS = [f"w{number}" for number in range(20)]


class FakeContender(Contender):
    def __init__(self, name, clock=None, seconds=(1.0,), log=None, logits=None, macs=None):
        self.name = name
        self.clock = clock
        self.seconds = list(seconds)
        self.log = [] if log is None else log
        self.logits = logits
        self.macs = macs
        self.runs = 0

    def prepare(self, texts):
        self.tokens = sum(len(text.split()) for text in texts)
        if self.logits is None:
            self.logits = np.eye(2)[[index % 2 for index in range(len(texts))]]

    def run(self):
        self.log.append(self.name)
        if self.clock:
            self.clock.now += self.seconds[self.runs % len(self.seconds)]
        self.runs += 1
        return self.logits


class AllocatingContender(FakeContender):
    """Holds one array when prepared, and takes another while it runs."""

    def __init__(self, name, held, taken):
        super().__init__(name)
        self.held, self.taken = held, taken

    def prepare(self, texts):
        super().prepare(texts)
        np.ones(2 * self.taken, dtype=np.uint8)  # a peak while loading, to be forgotten
        self.array = np.ones(self.held, dtype=np.uint8)

    def run(self):
        np.ones(self.taken, dtype=np.uint8)
        return self.logits
