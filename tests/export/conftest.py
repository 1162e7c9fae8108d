import pytest
from exported import CONFIGS, GROUPED, saved

from cllm.export import Learned


@pytest.fixture(scope="session")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return saved(tmp_path_factory.mktemp("grouped"), GROUPED)


@pytest.fixture(scope="session", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Each of the networks in turn."""
    return saved(tmp_path_factory.mktemp(request.param), CONFIGS[request.param])
