"""A real cluster for the tests of a module: the lab's own compose file in its own private engine."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from kappa_lab import cluster, engine, lab


@pytest.fixture(scope="module")
def laid_out() -> Iterator[dict[str, str]]:
    """The engine is up, the images are built, the run's files are made; the environment names them for compose."""
    with lab.sole_user():
        lab.down(quiet=True)
        lab.lay_out("the cluster tests")
        environment = lab.compose_environment(lab.prepare())
        kept = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        try:
            yield environment
        finally:
            lab.down(quiet=True)
            for key, value in kept.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value


@pytest.fixture(scope="module")
def docker_compose_command(laid_out: dict[str, str]) -> str:
    return "docker-compose"


@pytest.fixture(scope="module")
def docker_compose_file() -> str:
    return str(lab.COMPOSE)


@pytest.fixture(scope="module")
def docker_compose_project_name() -> str:
    return lab.PROJECT


@pytest.fixture(scope="module")
def docker_setup() -> list[str]:
    return ["up -d --no-build"]


@pytest.fixture(scope="module")
def docker_cleanup() -> list[str]:
    return ["down -v -t 30"]


@pytest.fixture(scope="module")
def serving(docker_services: Any) -> Iterator[cluster.Status]:
    """The whole lab, up and serving; what the cluster said when it became so."""
    lab.settle()
    assert engine.answers()
    yield lab.ready(5)
