"""A pytest plugin (``-p gpu_checks.only_cuda_tests``). It keeps only tests with the ``cuda`` fixture, and runs each
test only in the file that defines it."""


def pytest_collection_modifyitems(config, items):
    def kept(item) -> bool:
        imported = item.cls is not None and item.cls.__module__ != item.module.__name__
        return "cuda" in item.fixturenames and not imported

    config.hook.pytest_deselected(items=[item for item in items if not kept(item)])
    items[:] = [item for item in items if kept(item)]
