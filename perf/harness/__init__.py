"""The harness of perf/run: topology, rows, table, results.  perf/README.md explains it."""
