"""A pytest plugin (``-p only_cuda``) that keeps the tests with the ``cuda`` fixture, in the files that define them."""


def pytest_collection_modifyitems(config, items):
    def kept(item) -> bool:
        imported = item.cls is not None and item.cls.__module__ != item.module.__name__
        return "cuda" in item.fixturenames and not imported

    config.hook.pytest_deselected(items=[item for item in items if not kept(item)])
    items[:] = [item for item in items if kept(item)]
