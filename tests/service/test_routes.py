import numpy as np
import pytest

from service.openapi import description
from service.problems import RequestError
from service.routes import ROUTES, fuse


def test_the_description_and_the_routes_are_one_list() -> None:
    served = {
        (route.path.replace(":path", ""), method)
        for route in ROUTES
        for method in route.methods or ()
        if method != "HEAD" and route.path != "/page/{name}"
    }
    described = {(path, method.upper()) for path, methods in description()["paths"].items() for method in methods}
    assert served == described


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for methods in description()["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_fusing_is_the_mean_direction() -> None:
    first, second = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    np.testing.assert_allclose(fuse([first, second]), [np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-7)
    np.testing.assert_array_equal(fuse([first]), first)
    assert fuse([first, second]).dtype == np.float32
    with pytest.raises(RequestError, match="cancel out"):
        fuse([first, -first])
