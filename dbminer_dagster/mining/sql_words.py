"""The keywords by which statements and clauses are told apart."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Statements about tables, which use none of their rows.
METADATA = _words(
    """
    ADD ALTER ANALYZE CACHE CALL CLEAR COMMENT COMMIT CONVERT DECLARE DENY DESC DESCRIBE DROP
    EXPLAIN FSCK GENERATE GET GRANT LIST LS MSCK OPTIMIZE PURGE PUT REFRESH REMOVE REORG REPAIR
    RESET RESTORE REVOKE ROLLBACK SET SHOW SYNC UNCACHE UNDROP USE VACUUM
    """
)
STATEMENTS = _words(
    """
    APPLY BEGIN COPY CREATE DELETE FROM INSERT LOAD MAP MERGE REDUCE REPLACE SELECT TABLE TRUNCATE
    UPDATE VALUES WITH
    """
)
# Statements of a script that use no table.
SCRIPT_WORDS = _words("CALL CLOSE FETCH GET ITERATE LEAVE OPEN RESIGNAL SIGNAL RETURN")
# After one of these no comma leads to another source.
ENDS_FROM = _words(
    """
    CLUSTER DISTRIBUTE EXCEPT GROUP HAVING INSERT INTERSECT LIMIT MINUS OPTIONS ORDER PARTITIONED
    QUALIFY SELECT SET SORT TBLPROPERTIES UNION VALUES WHEN WHERE WINDOW
    """
)
# No name starts with one of these unless it is in back-quotes.
STARTS_NO_NAME = ENDS_FROM | _words(
    """
    AS CASE CROSS DIRECTORY FROM FULL INNER JOIN LATERAL LEFT LOCAL NATURAL NOT NULL ON RIGHT THEN
    USING WITH
    """
)
# `INTO` names a target only after one of these.
BEFORE_INTO = _words("CDC CHANGES COPY EVOLUTION INSERT MERGE")
# `TABLE` after one of these is not the clause that reads a table.
NO_TABLE_CLAUSE = _words("ALTER CACHE DESCRIBE DROP ON REFRESH RETURNS")
# After these a statement of a script begins.
BEFORE_STATEMENT = _words("; ATOMIC BEGIN DO ELSE THEN")
STARTS_QUERY = _words("( FROM SELECT TABLE VALUES WITH")
BEFORE_QUERY = _words("( ; ALL AS DISTINCT EXCEPT INTERSECT MINUS UNION")
# What follows `BEGIN` when it opens a transaction and not a script.
TRANSACTION = _words("; TRANSACTION WORK")
