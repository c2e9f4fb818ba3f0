"""The end of a run: run.json and the tables of what is finished."""

from evaluation.report.tables import write_tables
from evaluation.results.score_table import ScoreTable
from evaluation.runs.plan import Session
from evaluation.runs.record import write_provenance


def finish(session: Session) -> ScoreTable:
    """Write run.json and, when anything is finished, the tables; return what they are made from."""
    results = session.results()
    write_provenance(session)
    if results.scores:
        write_tables(results, session.options.directory / "tables")
    return results
