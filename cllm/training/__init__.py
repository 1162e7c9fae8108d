"""From a time budget to trained weights: plan, loop, learner, optimizer, checkpoint."""
