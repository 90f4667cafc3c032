"""The result tables as a Dagster resource."""

import dagster as dg

from dbminer_dagster.storage import DeltaStorage


class StorageResource(dg.ConfigurableResource):
    """Where the result tables lie: a folder, or a prefix of a bucket."""

    uri: str
    s3_region: str | None = None
    s3_endpoint_url: str | None = None

    @property
    def tables(self) -> DeltaStorage:
        """The tables."""
        return DeltaStorage(self.uri, self.s3_region, self.s3_endpoint_url)
