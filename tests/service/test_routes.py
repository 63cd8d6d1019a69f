from service.openapi import description
from service.routes import ROUTES


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
