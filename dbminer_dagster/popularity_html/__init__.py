"""The popularity report: one HTML file that needs no server and asks for nothing else."""
