"""Fixtures: trained networks with random weights, loaded from their model directories."""

import pytest
from exported import CONFIGS, GROUPED, save_and_load

from cllm.export import TrainedNetwork


@pytest.fixture(scope="session")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    return save_and_load(tmp_path_factory.mktemp("grouped"), GROUPED)


@pytest.fixture(scope="session", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    """A network of each configuration."""
    return save_and_load(tmp_path_factory.mktemp(request.param), CONFIGS[request.param])
