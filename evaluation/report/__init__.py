"""Everything that people read: tables, statistics, figures and the page."""
