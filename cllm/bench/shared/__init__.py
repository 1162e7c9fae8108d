"""Configuration, data, trainers and tables that the benchmarks share."""
