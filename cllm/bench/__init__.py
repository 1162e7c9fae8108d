"""Benchmarks against alternatives, measured in one run on one machine and reported as ratios.

Baselines are imported only in their own processes (`pip install 'cllm[bench]'`); no other package imports this one.
"""
