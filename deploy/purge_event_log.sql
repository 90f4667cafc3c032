-- Dagster keeps every event for ever. This deletes what only the log of an old run shows: its messages
-- and its steps. Materialisations, checks and the states of runs stay, and with them all that the
-- pages of assets, days and runs say.
--   psql --set keep_days=90 --file purge_event_log.sql
\set ON_ERROR_STOP on
DELETE FROM event_logs
WHERE timestamp < (now() AT TIME ZONE 'UTC') - make_interval(days => :keep_days)
    AND (
        dagster_event_type IS NULL
        OR dagster_event_type !~ '^(ASSET|PIPELINE|FRESHNESS)_'
    );
