"""What the REST API gives, as the objects of offline files; knows nothing of Dagster."""
