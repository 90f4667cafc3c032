"""`dbminer extract`: from a workspace to offline files; knows nothing of Dagster."""
