"""A month of a deployment, day by day: faults, killed workers and lost hosts; `make soak`."""
