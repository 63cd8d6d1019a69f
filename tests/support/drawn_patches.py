"""Patches with drawn features and scores, correlated as those of a real encoder are."""

import numpy as np

from index.answers.local_features import pivotal_patches

E, A = 96, 36


def patches_of(seed, num=A, dim=E):
    generator = np.random.default_rng(seed)
    scores = generator.exponential(size=num).astype(np.float32)
    mixing = np.random.default_rng(7).normal(size=(dim, dim)) * np.linspace(3, 0.1, dim)[:, None]
    tokens = (generator.normal(size=(num, dim)) @ mixing + 2).astype(np.float32)
    return pivotal_patches(scores / scores.sum(), tokens)
