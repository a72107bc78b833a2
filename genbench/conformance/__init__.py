"""The bench on which an implementation of a metric is tested: golden cases, adapters, the pytest plugin.

    genbench conform                                  our metrics against every case
    genbench conform torch-fidelity prdc              other libraries, as a matrix
    genbench conform my_package.metrics:fid --as fid  anybody's function
    pytest --conform my_package.metrics:fid=fid       the same as tests of one's own suite

A case is a recipe for arrays and an answer that was derived (closed form, enumeration, extended precision), never
computed by a metric of ours. This module imports nothing, because pytest imports it whenever it starts.
"""
